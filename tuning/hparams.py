"""What TensorBoard shows of a search: its HParams page, and curves of each trial."""

from collections.abc import Sequence

import tensorflow as tf
from tensorboard.plugins.hparams import api

from glr_keras.runs.run_dir import TrainingState
from tuning.plan import Dimension, config_of, encode
from tuning.store import SearchDir, SearchPlan


def write_search_log(search: SearchDir, plan: SearchPlan) -> None:
    """Tells TensorBoard which hyperparameters and measures there are, once."""
    if any(search.logs.glob("events*")):
        return
    with tf.summary.create_file_writer(str(search.logs)).as_default():
        api.hparams_config(hparams=_hparams(plan.dimensions), metrics=[api.Metric(plan.objective)])


def write_trial_log(search: SearchDir, trial, state: TrainingState, plan: SearchPlan) -> None:
    """Writes hyperparameters and curves of one trial; its objective stands at its best epoch."""
    config = config_of(trial.hyperparameters.values, plan.base)
    folder = search.logs / trial.trial_id
    for old in folder.glob("events*"):  # of a trial that was killed
        old.unlink()
    values = {
        one.name: encode(getattr(config, one.name))
        for one in plan.dimensions
        if one.name in trial.hyperparameters.values
    }
    with tf.summary.create_file_writer(str(folder)).as_default():
        api.hparams(values, trial_id=trial.trial_id)
        for row in state.history:
            for name, value in row.items():
                if name not in ("epoch", plan.objective):
                    tf.summary.scalar(name, value, step=row["epoch"])
        for row in state.history[: state.best_epoch + 1]:  # HParams shows the last one
            tf.summary.scalar(plan.objective, row[plan.objective], step=row["epoch"])


def _hparams(dimensions: Sequence[Dimension]):
    return [
        api.HParam(
            one.name,
            api.Discrete([encode(value) for value in one.values])
            if one.values
            else api.RealInterval(float(one.low), float(one.high)),
        )
        for one in dimensions
    ]
