"""What happened to a trial, a line for each time: growths, probes, rungs, attempts."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from growlab import amounts
from growlab.report.plain_tables import plain_table
from growlab.report.terminal import as_it_is
from growlab.report.trial_facts import Probe, TrialFacts
from growlab.report.trial_rungs import rungs_table

if TYPE_CHECKING:
    from rich.table import Table


def events(facts: TrialFacts) -> Iterator[tuple[str, "Table"]]:
    """The headings and tables of what happened to it, of those things that did."""
    if facts.growth_events:
        yield "growth", _growth(facts)
    if probes := facts.probes():
        yield "probes of a growth (val_loss at the end of each branch)", _probes(probes)
    if facts.readings:
        yield "rungs" if facts.may_wait else "marks", rungs_table(facts)
    if facts.attempts:
        yield "attempts", _attempts(facts)


def _growth(facts: TrialFacts) -> "Table":
    """A line for a growth: what it added, and how long training was not at full speed, then and at the thaw."""
    table = plain_table("step", "at", "unit", "operator", "τ", "κ", "val_loss", "depth", "pause", "thaw", folds="unit")
    for event, pauses in facts.growths():
        table.add_row(
            str(event.step),
            str(event.position),
            as_it_is(event.unit),
            as_it_is(event.operator),
            amounts.number(event.tau, 2),
            amounts.number(event.kappa, 2),
            f"{amounts.loss(event.val_loss_before)} → {amounts.loss(event.val_loss_after)}",
            amounts.depth(event.depth_before, event.depth_after),
            amounts.duration(pauses.of_growth),
            amounts.duration(pauses.of_thaw),
        )
    return table


def _probes(probes: Sequence[Probe]) -> "Table":
    table = plain_table("step", "as it was", "grown", "kept", "dropped")
    for probe in probes:
        table.add_row(
            str(probe.step),
            amounts.loss(probe.as_it_was),
            amounts.loss(probe.grown),
            "grown" if probe.grown_stayed else "as it was",
            f"{amounts.whole(probe.dropped_steps)} steps",
        )
    return table


def _attempts(facts: TrialFacts) -> "Table":
    table = plain_table("", "worker", "device", "started (UTC)", "lasted", "ended", "note", folds="note")
    for attempt in facts.attempts:
        until = attempt.heartbeat_at if attempt.ended_at is None else attempt.ended_at
        table.add_row(
            str(attempt.epoch),
            as_it_is(attempt.worker),
            as_it_is(attempt.device),
            amounts.moment(attempt.started_at),
            amounts.duration(until - attempt.started_at),
            attempt.end_reason or "–",
            as_it_is(attempt.note),
        )
    return table
