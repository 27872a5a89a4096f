"""Since when a trial learns its training text by heart: val_loss rises for long while the training loss falls."""

from collections.abc import Mapping

from growlab.finite import finite_only
from growlab.stopping import OVERFITS_BY
from growlab.storage import Store

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


def read_overfitting(store: Store, study_id: int) -> dict[int, int]:
    """The step since which a trial overfits, by number, of those trials of a study that do."""
    curves = store.risen_losses(study_id, MARGIN)
    since = {number: overfits_since(losses["val"], losses["train"]) for number, losses in curves.items()}
    return {number: step for number, step in since.items() if step is not None}
