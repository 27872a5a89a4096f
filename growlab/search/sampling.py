"""What a sampler sees, what it gives, and what can be said of it before anything is tried.

    @register_sampler("mine", "every trial like the best so far", options=MyOptions)
    def mine(ask: Ask, options: MyOptions) -> Suggestion: ...

A sampler is a function of what it is asked and of its options, and keeps nothing between calls: all that is random in
it comes from `ask.seed`. So the same past gives the same proposal on any machine. In a study with several objectives
the value of a trial stands for all of them, with other weights at each decision (growlab.search.scalarising), unless
the options say that the sampler knows several.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, ClassVar, TypeVar

from growlab.domains import Value
from growlab.errors import UsageError
from growlab.kinds import complete
from growlab.layout import Layout, parse
from growlab.named import Options, Part
from growlab.records import PastTrial, Prediction
from growlab.samplers import SAMPLERS
from growlab.search.draw import Draw
from growlab.search.limits import Excess, Limits
from growlab.search.menu import Menu
from growlab.search.scalarising import drawn_weights, scalarised
from growlab.search.scalars import suggest
from growlab.seeds import derived_seed
from growlab.study import Study

_START_TRIES = 50  # values for a layout to start with, before it is said to be beyond a limit

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class SamplerOptions(Options):
    """The options of a sampler, with what they mean for a study."""

    proposes: ClassVar[bool] = True  # whether it makes trials; else they are what somebody put into the queue
    weighs: ClassVar[bool] = False  # whether what it predicts decides between a new trial and one that waits at a rung
    knows_several: ClassVar[bool] = False  # whether it reads `values`; else several objectives are one value to it
    transfers: ClassVar[bool] = False  # whether it makes use of what another study found (sampler.transfer_from)

    def n_first(self, study: Study) -> int:
        """The number of trials, from the first one on, whose layout is one of layouts.start_with."""
        return len(study.layouts.start_with)

    def n_cells(self, study: Study) -> int | None:
        """The number of trials that are cells of a table, known before anything is tried; None where none are."""
        return None

    def check(self, study: Study) -> None:
        """Raise UsageError where the study cannot be sampled in this way."""

    def warnings(self, study: Study) -> Iterator[str]:
        """What is allowed, and hardly meant."""
        yield from ()


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Which trial is asked for, of which study, after which past.

    Trials that a person added are of the past, and none of those that the sampler counts.
    """

    study: Study
    past: Sequence[PastTrial]  # every trial known, by number, also queued and running ones
    number: int  # of the sampler's own proposals
    seed: int  # of 31 bits: of this study and this number
    menu: Menu
    limit: Limits  # for a trial with the first of all values; `limit.at(params)` is for those that are drawn

    @property
    def n_known(self) -> int:
        """The number of trials before this one, those that a person added among them: all can be learnt from."""
        return self.number + sum([trial.added for trial in self.past])

    def rng(self) -> Random:
        """A generator that begins anew at each call."""
        return Random(self.seed)

    def start(self, at: int, params: Mapping[str, Value] | None = None) -> Draw:
        """The layout `at` of layouts.start_with, for a trial with `params`. Raises UsageError beyond a limit.

        What trials turned out to take says nothing against it: it was asked for, and within the estimate.
        """
        if excess := self.start_excess(at, params):
            raise UsageError(f"layouts.start_with[{at}] {excess}")
        return Draw(layout=self._start(at), origin="seed")

    def start_excess(self, at: int, params: Mapping[str, Value] | None = None) -> Excess | None:
        """What the layout `at` of layouts.start_with has more of than a limit admits, in a trial with `params`."""
        return replace(self.limit, params=params or {}, memory_ratio=1.0).excess(self._start(at))

    def _start(self, at: int) -> Layout:
        return complete(parse(self.study.layouts.start_with[at]), self.menu.kinds)

    def with_one_value(self) -> "Ask":
        """The same, each trial's value standing for all objectives of the study, with weights of this decision."""
        n = len(self.study.objectives)
        return self if n == 1 else replace(self, past=scalarised(self.past, drawn_weights(n, self.seed)))

    def scalars(self, *, startup_trials: int, given: Mapping[str, Value] | None = None) -> dict[str, Value]:
        """A value for every searched scalar that acts: TPE's once so many trials have finished, random before."""
        return suggest(self.study, self.past, self.seed, startup_trials=startup_trials, given=given)


@dataclass(frozen=True, kw_only=True)
class Suggestion:
    """What a trial shall be: a layout, and the scalars by full name."""

    draw: Draw
    params: Mapping[str, Value]
    given: Mapping[str, Value] = field(default_factory=dict)  # of the scalars, those that a person wrote down
    predicted: Prediction | None = None  # where a model of the objective chose it


Sampler = Callable[[Ask, Any], Suggestion]


def register_sampler(
    name: str, summary: str, *, options: type[SamplerOptions] = SamplerOptions
) -> Callable[[Callable[[Ask, T], Suggestion]], Callable[[Ask, T], Suggestion]]:
    """Decorator for a sampler, a function (ask, options) → suggestion."""

    def add(sampler: Callable[[Ask, T], Suggestion]) -> Callable[[Ask, T], Suggestion]:
        SAMPLERS.add(name, Part(name=name, section="sampler", summary=summary, options=options, make=sampler))
        return sampler

    return add


def sampler_options(study: Study) -> Any:
    """The options of the study's sampler, a SamplerOptions. Raises NotRegistered, or SpecError for a damaged row."""
    return SAMPLERS[study.sampler.name].read(study.sampler.options)


def suggested(ask: Ask) -> Suggestion:
    """What the study's sampler makes of what it is asked."""
    options = sampler_options(ask.study)
    seen = ask if options.knows_several else ask.with_one_value()
    suggestion: Suggestion = SAMPLERS[ask.study.sampler.name].make(seen, options)
    return suggestion


def first_layout(ask: Ask, *, startup_trials: int) -> Suggestion | None:
    """The suggestion for a trial that has a layout of layouts.start_with; None for those that come after them.

    Such a trial has the values of sampler.start_with, where there are any. A layout that is beyond a limit with some
    values alone, such as those with which it would grow too large, has others. Raises UsageError beyond a limit.
    """
    if ask.number >= len(ask.study.layouts.start_with):
        return None
    given = ask.study.starts()
    for at in range(_START_TRIES):
        asked = replace(ask, seed=derived_seed(ask.seed, "start", at)) if at else ask
        params = asked.scalars(startup_trials=startup_trials, given=given)
        if ask.start_excess(ask.number, params) is None:
            break
    return Suggestion(draw=ask.start(ask.number, params), params=params, given=given)
