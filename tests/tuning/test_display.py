"""What a user sees of a search while it runs."""

import pytest
from search_trials import plan_of, trial_of

from tuning.display import Progress, show_seconds
from tuning.space import Dimension


def test_the_live_table_shows_score_best_and_time_left(capsys, monkeypatch):
    seconds = iter([0.0, 10.0, 20.0])
    monkeypatch.setattr("tuning.display.time.monotonic", lambda: next(seconds))
    progress = Progress(plan_of([Dimension("alpha", (0.0, 1.0))]), 3)
    first, second = trial_of(0, 0.8, alpha=0.0), trial_of(1, None, alpha=1.0)
    progress.add(first, 1, first)
    progress.add(second, 2, first)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "trial score best took left",
        "1 of 3 80.00% 80.00% 3.0 s 20 s alpha 0",
        "2 of 3 - 80.00% 0.0 s 10 s FAILED: the loss is not a finite number (alpha 1)",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.24, "4.2 s"), (42, "42 s"), (600, "10 min"), (9000, "2.5 h")]
)
def test_durations_are_readable(seconds, text):
    assert show_seconds(seconds) == text
