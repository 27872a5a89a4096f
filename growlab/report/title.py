"""The line above a leaderboard."""

from collections.abc import Mapping

from growlab.records import TrialState


def title_of(study_name: str, counts: Mapping[TrialState, int], n_trials: int, objective: str = "") -> str:
    """'nightly: 4 of 10 trials ended (1 running, 4 completed), by val_loss, lower is better'.

    Without an objective nothing is said of it.
    """
    ended = sum(counts.get(state, 0) for state in TrialState if state.is_final)
    there = ", ".join(f"{counts[state]} {state}" for state in TrialState if counts.get(state))
    in_brackets = f" ({there})" if there else ""
    by = f", by {objective}, lower is better" if objective else ""
    return f"{study_name}: {ended} of {n_trials} trials ended{in_brackets}{by}"
