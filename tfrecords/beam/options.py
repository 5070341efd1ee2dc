"""--beam-runner and --beam-options: checked before any photo is read."""

import io
import logging
from contextlib import contextmanager, redirect_stderr

from tfrecords.common.console import UserError

LOCAL_RUNNER = "DirectRunner"
BEAM_DEFAULTS = (
    "--no_save_main_session",  # workers import this package; the command itself is of no use there
    "--default_sdk_harness_log_level=ERROR",  # else a local worker prints 20 lines when it starts
)


def parse_beam_options(runner: str, options: str = "") -> list[str]:
    """Turns `--beam-runner` and `--beam-options` into the flags of Beam's `PipelineOptions`.

    Args:
        runner: Name of a runner that Beam knows, or the full name of a class.
        options: "name=value,name=value,switch", as `tfds build --beam_pipeline_options` takes them.

    Raises:
        UserError: Beam is not installed, or does not know the runner or an option.
    """
    beam = import_beam()
    created = _create_runner(runner)
    if isinstance(created, beam.runners.DirectRunner):  # Beam takes "direct" for it, too
        # Without the second Beam 2.77 hands over to Prism: a program that it downloads, and which
        # does not heed direct_num_workers. With it Beam runs the pipeline itself.
        flags = [f"--runner={LOCAL_RUNNER}", f"--update_compatibility_version={beam.__version__}"]
    else:
        flags = [f"--runner={runner}"]
    flags = [*BEAM_DEFAULTS, *flags]
    flags += [f"--{option.strip().lstrip('-')}" for option in options.split(",") if option.strip()]
    _check_options(flags, created)
    return flags


def import_beam():
    """Imports Apache Beam.

    Raises:
        UserError: it is not installed.
    """
    try:
        with _warnings_off():  # of Google's libraries, which only Dataflow needs
            import apache_beam
    except ImportError as error:
        raise UserError(
            f"--beam-runner needs Apache Beam ({error}). Install it with: pip install -e '.[beam]'"
        ) from error
    return apache_beam


def _create_runner(name):
    from apache_beam.runners.runner import create_runner

    try:
        return create_runner(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(
            f"--beam-runner: Beam has no runner {name} ({error}). To run on this machine: "
            f"--beam-runner {LOCAL_RUNNER} --beam-options "
            "direct_num_workers=2,direct_running_mode=multi_processing"
        ) from error


def _check_options(flags, runner):
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.portable_runner import PortableRunner

    complaint = io.StringIO()
    try:
        # argparse prints the usage of 200 options, and Beam warns of what it does not know.
        with redirect_stderr(complaint), _warnings_off():
            options = PipelineOptions(flags)
            known = options.get_all_options()
            given = options.get_all_options(retain_unknown_options=True)
    except SystemExit as error:
        reason = complaint.getvalue().strip().rpartition("error: ")[2]
        raise UserError(f"--beam-options: {reason}.") from error
    # A portable runner asks its job server, which is not there yet, for the options it knows.
    if (unknown := given.keys() - known.keys()) and not isinstance(runner, PortableRunner):
        raise UserError(f"--beam-options: Beam knows no option {', '.join(sorted(unknown))}.")


@contextmanager
def _warnings_off():
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
