"""Everything that is stored of one trial."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from growlab.records import (
    AS_IT_WAS,
    DROPPED_STEPS,
    GROWN,
    LOSSES,
    Artifact,
    Decision,
    EarlyStop,
    GrowthEvent,
    Metric,
    Promotion,
    RungReading,
    TrajectoryPoint,
)
from growlab.report.json_values import json_value
from growlab.report.overfitting import overfits_since
from growlab.report.shapes import TRIAL
from growlab.storage import AttemptRow, Store, StudyRow, TrialRow

_RESULT = ("n_params", *LOSSES, "flops", "tokens", "steps", "elapsed_s")
_COURSE = ("created_at", "started_at", "ended_at", "newest_step", "newest_val_loss")


@dataclass(frozen=True, kw_only=True)
class Pauses:
    """The times for which a growth kept training from its full speed, in seconds; None where that is not on record."""

    of_growth: float | None
    of_thaw: float | None  # at the end of its isolated warm-up; part of the growth's where that was not over yet


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A growth that was tried, and what stayed."""

    step: int  # at which the trial was forked
    as_it_was: float  # val_loss at the end of the branch without it; inf where it diverged
    grown: float
    grown_stayed: bool
    dropped_steps: int  # of the other branch, which the budget paid for too


@dataclass(frozen=True, kw_only=True)
class TrialFacts:
    study: str
    objective: str
    trial: TrialRow
    decision: Decision
    metrics: Sequence[Metric]
    trajectory: Sequence[TrajectoryPoint]  # of every tensor; tensor = "" is the mean over the unit
    growth_events: Sequence[GrowthEvent]
    readings: Sequence[RungReading]  # at its rungs, from the lowest on
    promotions: Sequence[Promotion]
    may_wait: bool  # whether trials of the study wait where they are read
    stop: EarlyStop | None  # of a trial that a stop rule ended
    attempts: Sequence[AttemptRow]
    artifacts: Sequence[Artifact]

    def by_step(self, split: str, name: str) -> dict[int, float]:
        return {metric.step: metric.value for metric in self.metrics if (metric.split, metric.name) == (split, name)}

    def growths(self) -> list[tuple[GrowthEvent, Pauses]]:
        """The growths in order, with their pauses; one between two growths is that of the first one's thaw."""
        pauses = self.by_step("train", "pause_s")
        until = [*(event.step for event in self.growth_events[1:]), math.inf]
        return [
            (
                event,
                Pauses(
                    of_growth=pauses.get(event.step),
                    of_thaw=next((pauses[step] for step in sorted(pauses) if event.step < step < next_step), None),
                ),
            )
            for event, next_step in zip(self.growth_events, until, strict=False)
        ]

    def means_of_newest(self) -> list[TrajectoryPoint]:
        """The means over the newest unit's tensors, by step: of the unit whose tensors have rows of their own."""
        newest = {point.step: point.unit for point in self.trajectory if point.tensor}
        return [point for point in self.means() if newest.get(point.step, point.unit) == point.unit]

    def means_since_growth(self) -> dict[int, list[TrajectoryPoint]]:
        """The means over each unit's tensors since the last growth that a window follows, by unit, from the input side.

        A unit's place is the same in all of them.
        """
        means = self.means()
        last = means[-1].step if means else 0
        since = max([event.step for event in self.growth_events if event.step < last], default=-1)
        units = sorted({point.unit for point in means if point.step > since})
        return {unit: [point for point in means if point.unit == unit and point.step > since] for unit in units}

    def means(self) -> list[TrajectoryPoint]:
        return [point for point in self.trajectory if point.tensor == ""]

    def probes(self) -> list[Probe]:
        """The probes that were decided, in order. A growth at the step of a probe is the one that was tried."""
        grown, dropped = self.by_step("val", GROWN), self.by_step("train", DROPPED_STEPS)
        grew = {event.step for event in self.growth_events}
        return [
            Probe(
                step=step,
                as_it_was=as_it_was,
                grown=grown[step],
                grown_stayed=step in grew,
                dropped_steps=int(dropped[step]),
            )
            for step, as_it_was in self.by_step("val", AS_IT_WAS).items()
            if step in grown and step in dropped
        ]

    @property
    def overfits_since(self) -> int | None:
        return overfits_since(self.by_step("val", "loss"), self.by_step("train", "loss"))

    @property
    def origin(self) -> str:
        """The way in which the layout was found: 'seed', 'random', 'mutation of trial 3: insert conv at 2'."""
        decision = self.decision
        parent = "" if decision.parent is None else f" of trial {decision.parent}"
        return f"{decision.origin}{parent}" + (f": {decision.mutation}" if decision.mutation else "")


def read_facts(store: Store, study_row: StudyRow, number: int) -> TrialFacts:
    """Read a trial whole. Raises NotFound with the numbers that there are, and StorageError for a damaged row."""
    trial = store.trial(study_row.id, number)
    trial.require_sound()
    return TrialFacts(
        study=study_row.study.name,
        objective=study_row.study.objective.metric,
        trial=trial,
        decision=store.decision(trial.id),
        metrics=store.metrics(trial.id),
        trajectory=store.trajectory(trial.id, tensor=None),
        growth_events=store.growth_events(trial.id),
        readings=store.readings(trial.id),
        promotions=store.promotions(trial.id),
        may_wait=study_row.study.rungs is not None or study_row.study.read_at is None,
        stop=store.stops(study_row.id).get(number),
        attempts=store.attempts(trial.id),
        artifacts=store.artifacts(trial.id),
    )


def trial_as_mapping(store: Store, study_row: StudyRow, number: int) -> dict[str, Any]:
    """Everything that is stored of a trial, in the types of JSON; times are UTC seconds since 1970. Raises NotFound.

    A number that is not finite, such as the loss at which a trial diverged or the tau of a closed path, is None.
    """
    facts = read_facts(store, study_row, number)
    trial = facts.trial
    whole: dict[str, Any] = json_value(
        {
            "shape": TRIAL,
            "study": facts.study,
            "trial": trial.number,
            "state": trial.state,
            "layout": trial.layout,
            "layout_end": trial.layout_end,
            "depth_start": trial.depth_start,
            "depth_end": trial.depth_end,
            **{name: getattr(trial, name) for name in (*_RESULT, *_COURSE)},
            "overfits_since": facts.overfits_since,
            "engine": trial.engine or None,
            "told": trial.was_told,
            "sample": trial.sample,
            "error": trial.error,
            "seed": trial.spec_mapping["seed"],
            "params": trial.params,
            "trial_spec": trial.spec_mapping,
            "origin": facts.origin,
            "decision": asdict(facts.decision),
            "metrics": [asdict(metric) for metric in facts.metrics],
            "trajectory": [asdict(point) for point in facts.trajectory],
            "growth_events": [
                asdict(event) | {"pause_s": pauses.of_growth, "thaw_pause_s": pauses.of_thaw}
                for event, pauses in facts.growths()
            ],
            "readings": [asdict(reading) for reading in facts.readings],
            "stop": None if facts.stop is None else asdict(facts.stop),
            "promotions": [asdict(promotion) for promotion in facts.promotions],
            "attempts": [asdict(attempt) for attempt in facts.attempts],
            "artifacts": [asdict(artifact) for artifact in facts.artifacts],
        }
    )
    return whole
