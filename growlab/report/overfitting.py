"""Since when a trial learns its training text by heart: val_loss rises for long while the training loss falls."""

from collections.abc import Iterable, Mapping

from growlab.finite import finite_only
from growlab.records import TrialState
from growlab.stopping import OVERFITS_BY
from growlab.storage import Store, TrialRow

MARGIN = OVERFITS_BY  # nats per token, of both losses: less may be noise
LONG = 0.25  # of the steps so far
LEAST_EVALUATIONS = 3  # of which none is an accident


def overfits_since(val_loss: Mapping[int, float], train_loss: Mapping[int, float]) -> int | None:
    """The step of the best val_loss, where a trial has overfitted since; None where it has not.

    It has when the evaluations of the last quarter of its steps, and at least the last three, all lie more than MARGIN
    above the best, while the training loss, from the row at the best to the mean of those in the same last steps, fell
    by more than MARGIN. Both mappings are steps to nats per token; a number that is not finite counts as no evaluation.
    """
    val, train = finite_only(val_loss), finite_only(train_loss)
    if len(val) <= LEAST_EVALUATIONS:
        return None
    steps = sorted(val)
    best = min(steps, key=lambda step: (val[step], step))
    late = min(steps[-LEAST_EVALUATIONS], next(step for step in steps if step > steps[-1] * (1 - LONG)))
    if min(val[step] for step in steps if step >= late) <= val[best] + MARGIN:
        return None
    then, now = [train[step] for step in sorted(train) if step <= best], [train[step] for step in train if step >= late]
    falls = bool(then and now) and sum(now) / len(now) < then[-1] - MARGIN
    return best if falls else None


def read_overfitting(store: Store, trials: Iterable[TrialRow]) -> dict[int, int]:
    """The step since which a trial overfits, by number, of those trials that do."""
    since = {trial.number: _read_since(store, trial.id) for trial in trials if _may_overfit(trial)}
    return {number: step for number, step in since.items() if step is not None}


def _read_since(store: Store, trial_id: int) -> int | None:
    train, val = (
        {metric.step: metric.value for metric in store.metrics(trial_id, split, "loss")} for split in ("train", "val")
    )
    return overfits_since(val, train)


def _may_overfit(trial: TrialRow) -> bool:
    """Whether the losses of a trial are worth reading: of a finished one its result tells, and many may be paused."""
    if trial.val_loss is None or trial.best_val_loss is None:
        return not trial.state.is_final and trial.state is not TrialState.PAUSED
    return trial.val_loss > trial.best_val_loss + MARGIN
