"""The rule `median` of a study's stop rules (growlab.stopping): a trial is compared with all that came to its mark.

Readings are brought to the FLOPs of the mark first (growlab.search.rungs.standing). Of several objectives those that a
layout alone tells are compared beside the loss, and stopped is what is in the worse half by rank and by what it adds to
the front (`order_at_rung`). A function of the readings that were known, which an EarlyStop keeps.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from types import MappingProxyType

from growlab.kinds import Kind
from growlab.records import EarlyStop, PastTrial, RungReading
from growlab.search.judging import told_objectives
from growlab.search.limits import Limits, Measure
from growlab.search.past import unfinished
from growlab.search.rungs.halving import order_at_rung
from growlab.search.rungs.standing import at_mark
from growlab.study import Study


def stopped_by_median(
    study: Study,
    number: int,
    readings: Mapping[int, RungReading],
    others: Mapping[int, Sequence[float]] = MappingProxyType({}),
) -> EarlyStop | None:
    """The stop of a trial at a mark, by all `readings` there, its own among them; None where it goes on.

    `others` are the objectives besides the loss which are known of a trial, lower is better in each.
    """
    rule = study.stop.median if study.stop else None
    assert rule is not None, "a study without the rule stops no trial by it"
    peers = sorted(readings.keys() - {number})
    if len(peers) < rule.min_trials:
        return None
    values = at_mark(readings, "val_loss")
    bound, own = median(values[peer] for peer in peers), readings[number]
    if others:
        order = order_at_rung({at: (value, *others.get(at, ())) for at, value in values.items()})
        goes_on = order.index(number) < math.ceil(len(order) / 2)
    else:
        goes_on = values[number] <= bound
    if goes_on:
        return None
    return EarlyStop(
        rule="median",
        step=own.step,
        flops=own.flops,
        share=own.mark / study.budget.amount,
        val_loss=values[number],
        bound=bound,
        rung=own.rung,
        seen=tuple(peers),
    )


def told_at_marks(
    study: Study, past: Sequence[PastTrial], kinds: Mapping[str, Kind], measure: Measure
) -> Mapping[int, Sequence[float]]:
    """The objectives behind the first that layouts tell, by trial: as it was on its way, however far it came since."""
    return told_objectives(Limits(study=study, kinds=kinds, measure=measure), [unfinished(trial) for trial in past])


def stop_again(
    study: Study,
    number: int,
    stop: EarlyStop,
    trials: Mapping[int, PastTrial],
    kinds: Mapping[str, Kind],
    measure: Measure,
) -> EarlyStop | None:
    """What the rule says now of what `stop` saw, by the revision of the study that was asked; None where it stops none.

    A reading that is there no more, as its trial began again and has not come so far yet, was not seen.
    """
    assert stop.rung is not None
    known = [at for at in (*stop.seen, number) if at in trials and len(trials[at].readings) > stop.rung]
    if number not in known:
        return None
    readings = {at: trials[at].readings[stop.rung] for at in known}
    others = told_at_marks(study, list(trials.values()), kinds, measure)
    found = stopped_by_median(study, number, readings, others)
    return found and replace(found, revision=stop.revision)
