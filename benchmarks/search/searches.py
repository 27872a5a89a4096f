"""Searches that are asked for a point and told what came of it: growlab's samplers, and rivals over the same space.

    evolution, random, …       growlab's samplers by their names, asked as its workers ask them
    NAME~flat                  the same, random layouts without repeated motifs (layouts.motif_share: 0)
    model-on-pool              sampler model's choice among the entries of a pool, where others get the nearest one
    gp-on-pool                 gp-padded's choice among them; what does not act in an entry has a value drawn once
    uniform                    every acting parameter of the encoding drawn evenly
    plain                      regularised evolution over the encoding (Real et al., AAAI 2019)
    tpe, nsga2, gp             Optuna's, each as it comes; parameters that do not act are not asked
    gp-padded                  all parameters asked always, also of places beyond the depth, which changes nothing
    smac, neps-bo, …           in an environment of their own: elsewhere.py

Where a pool answers (pool.py), a search is told of the entry that it got, in place of the point that it asked for.
"""

import random
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from elsewhere import NepsBo, NepsGrammar, Smac
from problems import Problem

from growlab.domains import Range, Value, value_type
from growlab.layout import parse
from growlab.records import PastTrial, TrialState
from growlab.samplers import SAMPLERS
from growlab.scalar import with_defaults
from growlab.search.configuration import Configuration
from growlab.search.menu import Menu
from growlab.search.model.aim import Best
from growlab.search.model.candidates import Candidate
from growlab.search.model.choice import ranked, scores
from growlab.search.model.encoding import Encoding
from growlab.search.model.outlook import Tried, look_ahead
from growlab.search.optuna.distributions import parameter_distribution, suggested, to_optuna
from growlab.search.parameters import Parameter, ParameterSpace, Values
from growlab.search.past import loss_of
from growlab.search.propose import propose
from growlab.search.samplers.model import ModelOptions

if TYPE_CHECKING:
    import optuna

FLAT = "~flat"


class Search(Protocol):
    def ask(self) -> Configuration: ...

    def tell(self, got: Configuration, value: float | None) -> None:
        """Tell what came of the last point asked for, or of the one got in its place; None: its training failed."""


class Growlab:
    """A sampler of growlab: each proposal is a function of the study and all rows so far."""

    def __init__(self, name: str, problem: Problem, seed: int, n_trials: int) -> None:
        sampler, flat, _ = name.partition(FLAT)
        layouts = {"motif_share": 0.0} if flat else {}
        self.kinds, self.measure = problem.kinds, problem.measure
        self.study = problem.study(sampler, layouts, seed=seed, n_trials=n_trials)
        self.past: list[PastTrial] = []

    def ask(self) -> Configuration:
        proposal = propose(self.study, self.past, len(self.past), self.kinds, self.measure)
        return Configuration(layout=parse(proposal.spec.layout), params=proposal.params)

    def tell(self, got: Configuration, value: float | None) -> None:
        state = TrialState.FAILED if value is None else TrialState.COMPLETED
        row = PastTrial(
            number=len(self.past), state=state, layout=str(got.layout), params=dict(got.params), value=value
        )
        self.past.append(row)


class ModelOnPool(Growlab):
    """The model of sampler `model` over the entries that are left; the first, and some later ones, at random."""

    def __init__(self, problem: Problem, seed: int, n_trials: int) -> None:
        super().__init__("model", problem, seed, n_trials)
        self.options, self.rng = with_defaults(ModelOptions), random.Random(seed)
        self.encoding = Encoding(self.study.scalars(), Menu(self.study.layouts, self.kinds), self.measure)
        self.left = {point: point for point in problem.entries}

    def ask(self) -> Configuration:
        entries = list(self.left.values())
        at_random = len(self.past) < self.options.startup_trials or self.rng.random() < self.options.random_share
        if at_random:
            return self.rng.choice(entries)
        tried = [
            Tried(trial.number, Configuration(parse(trial.layout), trial.params), loss_of(trial)) for trial in self.past
        ]
        candidates = [Candidate(entry) for entry in entries]
        found = scores(*Best(look_ahead(self.encoding, tried)).prospects(entries))
        return entries[next(ranked(found, candidates))]

    def tell(self, got: Configuration, value: float | None) -> None:
        super().tell(got, value)
        del self.left[got]


class Uniform:
    def __init__(self, problem: Problem, seed: int, n_trials: int) -> None:
        self.encoding, self.rng = problem.encoding, random.Random(seed)

    def ask(self) -> Configuration:
        return self.encoding.decode(filled(self.encoding, {}, self.rng))

    def tell(self, got: Configuration, value: float | None) -> None:
        """Learn nothing."""


class Plain:
    """The best of five of the 20 youngest has a child in which one acting parameter is another; first ten at random."""

    N_RANDOM, POPULATION, TOURNAMENT = 10, 20, 5

    def __init__(self, problem: Problem, seed: int, n_trials: int) -> None:
        self.encoding, self.rng = problem.encoding, random.Random(seed)
        self.past: list[tuple[float, Values]] = []

    def ask(self) -> Configuration:
        if len(self.past) < self.N_RANDOM:
            return self.encoding.decode(filled(self.encoding, {}, self.rng))
        young = self.past[-self.POPULATION :]
        _, parent = min(self.rng.sample(young, self.TOURNAMENT), key=lambda known: known[0])
        changed = self.rng.choice([known for known in self.encoding.parameters if known.name in parent])
        value = drawn(changed, self.rng, but=parent[changed.name])
        return self.encoding.decode(filled(self.encoding, parent | {changed.name: value}, self.rng))

    def tell(self, got: Configuration, value: float | None) -> None:
        self.past.append((float("inf") if value is None else value, self.encoding.encode(got)))


def filled(encoding: ParameterSpace, given: Mapping[str, Value], rng: random.Random) -> Values:
    """A value for every parameter that acts: the given one, else one drawn."""
    values: Values = {}
    for known in encoding.parameters:
        if known.acts(values):
            values[known.name] = given[known.name] if known.name in given else drawn(known, rng)
    return values


def drawn(known: Parameter, rng: random.Random, but: Value | None = None) -> Value:
    """A value drawn evenly, of a range with logarithms from those; of a choice another one than `but`."""
    domain = known.domain
    if not isinstance(domain, Range):
        return rng.choice([value for value in domain.values if value != but])
    if value_type(domain) is int:
        return rng.choice([value for value in range(int(domain.low), int(domain.high) + 1) if value != but])
    if domain.log:
        return min(domain.high, domain.low * (domain.high / domain.low) ** rng.random())
    return rng.uniform(domain.low, domain.high)


# ---- Optuna --------------------------------------------------------------------------------------------------------


class Optuna:
    """One of its samplers, asked parameter by parameter. Numbers to choose between are told as their ranks."""

    def __init__(self, problem: Problem, sampler: "optuna.samplers.BaseSampler", *, padded: bool = False) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.encoding, self.padded = problem.encoding, padded
        self.study = optuna.create_study(sampler=sampler)
        self.distributions = {known.name: parameter_distribution(known) for known in self.encoding.parameters}

    def ask(self) -> Configuration:
        self.trial = self.study.ask()
        self.values = suggested(self.trial, self.encoding.parameters, padded=self.padded)
        self.asked = self.encoding.decode(self.values)
        return self.asked

    def tell(self, got: Configuration, value: float | None) -> None:
        """A failed trial is FAIL. An entry in place of what was asked is a trial of its own; that asked for is FAIL."""
        from optuna.trial import TrialState, create_trial

        if got == self.asked and value is not None:
            self.study.tell(self.trial, value)
            return
        self.study.tell(self.trial, state=TrialState.FAIL)
        if value is None:
            return
        values = (self.values if self.padded else {}) | self.encoding.encode(got)
        known = [known for known in self.encoding.parameters if known.name in values]
        self.study.add_trial(
            create_trial(
                value=value,
                params={each.name: to_optuna(each, values[each.name]) for each in known},
                distributions={each.name: self.distributions[each.name] for each in known},
                system_attrs=self.study.get_trials(deepcopy=False)[-1].system_attrs,  # NSGA-II's generation, among them
            )
        )


class GpOnPool:
    """Optuna's GP, whose acquisition is maximised over the entries that are left; the first ten are drawn at random."""

    def __init__(self, problem: Problem, seed: int, n_trials: int) -> None:
        import optuna
        from optuna.trial import FrozenTrial, create_trial

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        self.rng, known = random.Random(seed), problem.encoding.parameters
        distributions = {each.name: parameter_distribution(each) for each in known}

        def frozen(entry: Configuration, value: float | None) -> FrozenTrial:
            params = {each.name: to_optuna(each, self.padded[entry][each.name]) for each in known}
            return create_trial(value=value, params=params, distributions=distributions)

        class Sampler(optuna.samplers.GPSampler):
            def _optimize_acqf(_, acqf: Any, best_params: Any) -> Any:  # noqa: N805
                trials = [frozen(entry, 0.0) for entry in self.left]
                places = acqf.search_space.get_normalized_params(trials)
                at = int(acqf.eval_acqf_no_grad(places).argmax())
                self.chosen = self.left[at]
                return places[at]

        self.frozen, self.left = frozen, list(problem.entries)
        self.padded = {entry: self._padded(problem.encoding, entry) for entry in problem.entries}
        self.study = optuna.create_study(sampler=Sampler(seed=seed, warn_independent_sampling=False))

    def _padded(self, encoding: ParameterSpace, entry: Configuration) -> Values:
        values = encoding.encode(entry)
        return {
            each.name: values[each.name] if each.name in values else drawn(each, self.rng)
            for each in encoding.parameters
        }

    def ask(self) -> Configuration:
        self.chosen = self.rng.choice(self.left)
        self.trial = self.study.ask()
        return self.chosen

    def tell(self, got: Configuration, value: float | None) -> None:
        from optuna.trial import TrialState

        self.study.tell(self.trial, state=TrialState.FAIL)
        self.left.remove(got)
        if value is not None:
            self.study.add_trial(self.frozen(got, value))


def _optuna(name: str) -> "Make":
    def make(problem: Problem, seed: int, n_trials: int) -> Optuna:
        import optuna

        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        samplers = optuna.samplers
        match name:
            case "tpe":
                sampler = samplers.TPESampler(seed=seed)
            case "nsga2":
                sampler = samplers.NSGAIISampler(seed=seed)
            case _:
                sampler = samplers.GPSampler(seed=seed, deterministic_objective=False, warn_independent_sampling=False)
        return Optuna(problem, sampler, padded=name.endswith("-padded"))

    return make


# ---- the table -----------------------------------------------------------------------------------------------------


Make = Callable[[Problem, int, int], Search]  # of a problem, a seed and the number of trials


@dataclass(frozen=True, kw_only=True)
class Rival:
    make: Make
    cpu_s: float  # of a run of 100 trials, roughly: the longest are begun first
    needs_depth: bool = False  # whether it differs from another one only where the depth varies
    needs_pool: bool = False  # whether it can be asked of a pool alone
    for_pools: bool = True  # whether it can be told of an entry in place of what it asked for, and in less than minutes


RIVALS: Mapping[str, Rival] = {
    "uniform": Rival(make=Uniform, cpu_s=0.1),
    "plain": Rival(make=Plain, cpu_s=0.1),
    "model-on-pool": Rival(make=ModelOnPool, cpu_s=10, needs_pool=True),
    "gp-on-pool": Rival(make=GpOnPool, cpu_s=30, needs_pool=True),
    "tpe": Rival(make=_optuna("tpe"), cpu_s=1),
    "nsga2": Rival(make=_optuna("nsga2"), cpu_s=0.5),
    "gp": Rival(make=_optuna("gp"), cpu_s=10),
    "gp-padded": Rival(make=_optuna("gp-padded"), cpu_s=20, needs_depth=True, for_pools=False),
    "smac": Rival(make=partial(Smac, "HyperparameterOptimizationFacade"), cpu_s=11, for_pools=False),
    "smac-blackbox": Rival(make=partial(Smac, "BlackBoxFacade"), cpu_s=30, for_pools=False),
    "neps-bo": Rival(make=NepsBo, cpu_s=180, for_pools=False),
    "neps-grammar": Rival(make=NepsGrammar, cpu_s=2, for_pools=False),
}


def is_search(name: str) -> bool:
    return name in RIVALS or name.removesuffix(FLAT) in SAMPLERS


def make_search(name: str, problem: Problem, seed: int, n_trials: int) -> Search:
    """A search that begins. `name` is one that is_search knows."""
    return RIVALS[name].make(problem, seed, n_trials) if name in RIVALS else Growlab(name, problem, seed, n_trials)
