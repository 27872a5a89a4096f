"""What one trial came to at the rungs or marks where it was read, as a table of its page."""

from typing import TYPE_CHECKING

from growlab import amounts
from growlab.records import Promotion, TrialState
from growlab.report.plain_tables import plain_table
from growlab.report.trial_facts import TrialFacts
from growlab.storage import TrialRow

if TYPE_CHECKING:
    from rich.table import Table


def rungs_table(facts: TrialFacts) -> "Table":
    """A line for a rung, or a mark: what the trial came to there, what reading that cost, and what became of it."""
    costs = any(reading.extra_flops for reading in facts.readings)
    promoted = {promotion.rung: promotion for promotion in facts.promotions}
    headers = (
        "rung" if facts.may_wait else "mark",
        "at",
        "step",
        "compute",
        "val_loss",
        "bits/byte",
        *["cost"] * costs,
        "then",
    )
    table = plain_table(*headers, folds="then")
    for reading in facts.readings:
        table.add_row(
            str(reading.rung + 1),
            amounts.fraction(reading.mark / facts.trial.spec_mapping["budget"]["amount"]),
            str(reading.step),
            amounts.flops(reading.flops),
            amounts.loss(reading.val_loss),
            amounts.loss(reading.bits_per_byte),
            *[amounts.flops(reading.extra_flops)] * costs,
            _then(promoted.get(reading.rung), facts.trial) if facts.may_wait else _went(reading.rung, facts),
        )
    return table


def _then(promotion: Promotion | None, trial: TrialRow) -> str:
    """What became of a trial at a rung: 'promoted, expected 1.6921', 'waits'."""
    if promotion is None:
        return "waits" if trial.state is TrialState.PAUSED else amounts.UNKNOWN
    return "promoted" + ("" if promotion.predicted is None else f", expected {amounts.loss(promotion.predicted.mean)}")


def _went(mark: int, facts: TrialFacts) -> str:
    """What became of a trial at a mark at which none waits."""
    return "stopped" if facts.stop is not None and facts.stop.rung == mark else "went on"
