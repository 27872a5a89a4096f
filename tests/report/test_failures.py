"""Trials that failed are grouped by what befell them, whatever numbers that had."""

from growlab.records import TrialState
from growlab.report.failures import UNEXPLAINED, failures_of


def test_errors_that_differ_in_numbers_are_one_cause_and_the_commonest_comes_first(trial_of):
    errors = [
        "val_loss was nan at step 400",
        "out of memory: asked 1,024.5 MiB\nmore",
        "val_loss was nan at step 7",
        "",
    ]
    trials = [trial_of(at, state=TrialState.DIVERGED, error=error) for at, error in enumerate(errors)]
    failed = trial_of(9, state=TrialState.FAILED, error="out of memory: asked 80 MiB")

    stopped = trial_of(21, state=TrialState.STOPPED, error="above the median of five trials")  # by a rule: no failure

    found = failures_of([failed, *trials, trial_of(20), stopped])

    assert [(failure.state, failure.cause, failure.trials) for failure in found] == [
        ("diverged", "val_loss was nan at step 400", (0, 2)),
        ("diverged", "out of memory: asked 1,024.5 MiB", (1,)),
        ("diverged", UNEXPLAINED, (3,)),
        ("failed", "out of memory: asked 80 MiB", (9,)),
    ]


def test_a_digit_in_a_name_is_no_number(trial_of):
    states = {"state": TrialState.FAILED}
    trials = [trial_of(at, error=f"no kind mamba{at} here", **states) for at in range(2)]

    assert len(failures_of(trials)) == 2
