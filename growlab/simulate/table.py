"""Where the results of simulated trials come from: a table of trainings, in which each trial has its nearest entry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from growlab.domains import Value
from growlab.errors import UsageError
from growlab.kinds import KINDS, complete, shorten
from growlab.layout import parse
from growlab.records import TrialState
from growlab.search.configuration import Configuration
from growlab.search.menu import menu_of
from growlab.search.nearness import Nearness
from growlab.search.parameters import ParameterSpace
from growlab.seeds import derived_seed
from growlab.specs import TrialSpec
from growlab.study import Study
from growlab.trainings import Training


@dataclass(frozen=True)
class Found:
    """A training that stands for a trial."""

    training: Training  # which came to its end
    distance: float  # of its configuration from the trial's, from 0 to 1 (growlab.search.nearness)


class Trainings(Protocol):
    """What trials come to."""

    def find(self, spec: TrialSpec, params: Mapping[str, Value]) -> Found:
        """What a trial comes to that has these scalars drawn. Raises UsageError where nothing says it."""
        ...


class Table:
    """Trainings by their configurations.

    Of several with one configuration a trial has that of its own seed, else one that its seed chooses.
    """

    def __init__(self, study: Study, trainings: Sequence[Training]) -> None:
        self._study = study
        self._entries: dict[Configuration, list[Training]] = {}
        for training in trainings:
            self._entries.setdefault(_configuration(training), []).append(training)
        if not any(training.state is TrialState.COMPLETED for training in trainings):
            raise UsageError(f"none of {len(trainings)} trainings of the table came to its end; give a longer table")
        self._require_some_inside()

    def find(self, spec: TrialSpec, params: Mapping[str, Value]) -> Found:
        asked = Configuration(parse(spec.layout), dict(params))
        distance = 0.0
        if asked not in self._entries:
            asked, distance = self._everything.nearest(asked)
        entries = self._entries[asked]
        own = [training for training in entries if training.seed == spec.seed]
        chosen = own[0] if own else entries[derived_seed(spec.seed, "table") % len(entries)]
        return Found(self._ended(asked, chosen), distance)

    def _ended(self, configuration: Configuration, training: Training) -> Training:
        """The training itself, or one that was paused or stopped by a rule as it would have gone on."""
        if training.state not in (TrialState.PAUSED, TrialState.STOPPED):
            return training
        nearest, _ = self._completed.nearest(configuration)
        return continued(training, next(each for each in self._entries[nearest] if _is_completed(each)))

    @cached_property
    def _everything(self) -> "_Known":
        menu, configurations = menu_of(self._study.layouts, KINDS), list(self._entries)
        inside = [each for each in configurations if menu.contains(each.layout)]
        return _Known(self._study, inside or configurations)

    @cached_property
    def _completed(self) -> "_Known":
        return _Known(self._study, [each for each, found in self._entries.items() if any(map(_is_completed, found))])

    def _require_some_inside(self) -> None:
        """Refuse a table of which no layout is one that the study may draw or starts with."""
        menu = menu_of(self._study.layouts, KINDS)
        starts = {complete(parse(text), KINDS) for text in self._study.layouts.start_with}
        layouts = dict.fromkeys(configuration.layout for configuration in self._entries)
        if not any(layout in starts or menu.contains(layout) for layout in layouts):
            raise UsageError(
                f"none of the table's {len(layouts)} layouts is one that study {self._study.name!r} may draw, "
                f"as {shorten(next(iter(layouts)), KINDS)} is not"
            )


class _Known:
    """Configurations, of which one is the nearest to another one."""

    def __init__(self, study: Study, configurations: Sequence[Configuration]) -> None:
        self._configurations = configurations
        self._nearness = Nearness(ParameterSpace(menu_of(study.layouts, KINDS), study.scalars()), configurations)

    def nearest(self, asked: Configuration) -> tuple[Configuration, float]:
        """The nearest one, the first of equals, and how far it is."""
        distances = self._nearness.distances(asked)
        at = int(distances.argmin())
        return self._configurations[at], float(distances[at])


def continued(paused: Training, like: Training) -> Training:
    """A training that was paused, as if it had gone on and gained from there what another one gained that did."""
    share = paused.flops / paused.budget_flops
    known = {**paused.curve, **{reading.flops / paused.budget_flops: reading.val_loss for reading in paused.readings}}
    last = known[max(known)] if known else None
    there = like.loss_at(share)
    offset = 0.0 if last is None or there is None else last - there
    curve = {at: loss for at, loss in paused.curve.items() if at <= share}
    curve |= {at: loss + offset for at, loss in like.curve.items() if at > share}
    val_loss = like.losses["val_loss"]
    ratio = (val_loss + offset) / val_loss if val_loss else 1.0  # a loss of nothing has no share to lose
    losses = {loss: value * ratio for loss, value in like.losses.items()}
    elapsed_s = None if paused.elapsed_s is None else paused.elapsed_s / share
    return replace(
        paused, state=TrialState.COMPLETED, flops=paused.budget_flops, curve=curve, losses=losses, elapsed_s=elapsed_s
    )


def _configuration(training: Training) -> Configuration:
    return Configuration(parse(training.layout), dict(training.params))


def _is_completed(training: Training) -> bool:
    return training.state is TrialState.COMPLETED
