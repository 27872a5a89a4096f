"""SMAC and NePS, which need packages that growlab does not: an environment of their own each, before growlab's.

    smac            its random forest (HyperparameterOptimizationFacade), with the conditions of the encoding
    smac-blackbox   its Gaussian process (BlackBoxFacade), likewise
    neps-bo         Bayesian optimisation; it knows no conditions: all parameters always, also beyond the depth
    neps-grammar    regularised evolution over a grammar: a stack of so many places, for each depth

Each as it comes, but for SMAC's `deterministic`: a point's answer never changes. They are asked and told, and know
nothing of a pool.

    SITE=$(GROWLAB/bin/python -c "import numpy; print(numpy.__path__[0] + '/..')")   # of the environment growlab is in
    for name in smac neps; do
        python -m venv $name-env
        echo $SITE > $(echo $name-env/lib/python3.*/site-packages)/growlab.pth
    done
    smac-env/bin/pip install smac==2.4.1
    neps-env/bin/pip install neural-pipeline-search==0.17.0          # brings a torch of its own
    PYTHONPATH=. neps-env/bin/python benchmarks/search/regret.py OUT.tsv --searches neps-bo=5 --problems complete
"""

import logging
import random
import tempfile
import warnings
from collections.abc import Mapping
from typing import Any

from problems import Problem

from growlab.domains import Range, Value, value_type
from growlab.search.configuration import Configuration
from growlab.search.parameters import Parameter, ParameterSpace


def ranked(known: Parameter) -> list[Value]:
    """The numbers to choose between in their order; none for a range or for names."""
    return sorted(known.domain.values) if known.is_ordered and not isinstance(known.domain, Range) else []


def unranked(encoding: ParameterSpace, told: Mapping[str, Value]) -> Configuration:
    """The point of a setting in which numbers to choose between are told as their ranks."""
    values = {
        known.name: ranked(known)[int(told[known.name])] if ranked(known) else told[known.name]
        for known in encoding.parameters
        if known.name in told
    }
    return encoding.decode(values)


class Smac:
    def __init__(self, facade: str, problem: Problem, seed: int, n_trials: int) -> None:
        import smac

        logging.disable(logging.WARNING)
        warnings.filterwarnings("ignore", message="Loky-backed parallel loops")  # a forest in one of many processes
        self.encoding = problem.encoding
        self.folder = tempfile.TemporaryDirectory()
        scenario = smac.Scenario(
            config_space(self.encoding, seed),
            deterministic=True,
            n_trials=n_trials,
            seed=seed,
            output_directory=self.folder.name,
        )
        self.smac = getattr(smac, facade)(scenario, _never_called, logging_level=False, overwrite=True)

    def ask(self) -> Configuration:
        self.asked = self.smac.ask()
        told = {name: value.item() if hasattr(value, "item") else value for name, value in self.asked.config.items()}
        return unranked(self.encoding, told)

    def tell(self, got: Configuration, value: float | None) -> None:
        from smac.runhistory import TrialValue

        assert value is not None, "no problem without a pool has failures"
        self.smac.tell(self.asked, TrialValue(cost=value))


def _never_called(config: object, seed: int) -> float:
    raise AssertionError("asked and told from outside")


def config_space(encoding: ParameterSpace, seed: int) -> Any:
    """The encoding as SMAC reads it."""
    from ConfigSpace import AndConjunction, ConfigurationSpace, InCondition

    space = ConfigurationSpace(seed=seed)
    for known in encoding.parameters:
        space.add(_hyperparameter(known))
        needed = [InCondition(space[known.name], space[name], list(values)) for name, values in known.needs.items()]
        if needed:
            space.add(needed[0] if len(needed) == 1 else AndConjunction(*needed))
    return space


def _hyperparameter(known: Parameter) -> Any:
    from ConfigSpace import CategoricalHyperparameter, UniformFloatHyperparameter, UniformIntegerHyperparameter

    if numbers := ranked(known):
        return UniformIntegerHyperparameter(known.name, 0, len(numbers) - 1)
    if isinstance(known.domain, Range):
        whole = value_type(known.domain) is int
        make = UniformIntegerHyperparameter if whole else UniformFloatHyperparameter
        return make(known.name, known.domain.low, known.domain.high, log=known.domain.log)
    return CategoricalHyperparameter(known.name, list(known.domain.values))


class Neps:
    """One of its optimisers, which have no seed but the global ones."""

    def __init__(self, optimizer: Any, encoding: ParameterSpace, seed: int) -> None:
        import neps
        import numpy as np
        import torch

        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        self.encoding, self.neps = encoding, neps.AskAndTell(optimizer)

    def ask(self) -> Configuration:
        self.trial = self.neps.ask()
        return unranked(self.encoding, self.read(self.trial.config))

    def tell(self, got: Configuration, value: float | None) -> None:
        assert value is not None, "no problem without a pool has failures"
        self.neps.tell(self.trial, value)

    def read(self, config: Mapping[str, Any]) -> Mapping[str, Value]:
        """The setting, by the names of the encoding."""
        return config


class NepsBo(Neps):
    def __init__(self, problem: Problem, seed: int, n_trials: int) -> None:
        import neps

        encoding = problem.encoding
        space = neps.SearchSpace({known.name: _hpo(known) for known in encoding.parameters})
        super().__init__(neps.algorithms.bayesian_optimization(space), encoding, seed)


def _hpo(known: Parameter) -> Any:
    import neps

    if numbers := ranked(known):
        return neps.HPOInteger(0, len(numbers) - 1)
    if isinstance(known.domain, Range):
        make = neps.HPOInteger if value_type(known.domain) is int else neps.HPOFloat
        return make(known.domain.low, known.domain.high, log=known.domain.log)
    return neps.HPOCategorical(list(known.domain.values))


class NepsGrammar(Neps):
    """stack := stack of 3 places | stack of 4 places; place := attn | conv | mlp. Options of blocks are not written."""

    def __init__(self, problem: Problem, seed: int, n_trials: int) -> None:
        import neps

        encoding = problem.encoding
        assert not any(known.is_option for known in encoding.parameters)
        domains = {known.name: _of_grammar(known) for known in encoding.parameters if known.name != "depth"}
        low, high = encoding.menu.space.depth
        stacks = tuple(
            neps.Operation("stack", args=tuple(domains[f"kind_{at}"] for at in range(depth)))
            for depth in range(low, high + 1)
        )
        self.space = neps.PipelineSpace()
        self.space.stack = neps.Categorical(stacks) if low < high else stacks[0]
        for name in [name for name in domains if not name.startswith("kind_")]:
            setattr(self.space, name.replace(".", "__"), domains[name])
        super().__init__(neps.algorithms.neps_regularized_evolution(self.space), encoding, seed)

    def read(self, config: Mapping[str, Any]) -> Mapping[str, Value]:
        from neps.space.neps_spaces.neps_space import NepsCompatConverter, resolve
        from neps.space.neps_spaces.sampling import OnlyPredefinedValuesSampler

        drawn = NepsCompatConverter.from_neps_config(config)
        sampler = OnlyPredefinedValuesSampler(predefined_samplings=drawn.predefined_samplings)
        resolved, _ = resolve(self.space, domain_sampler=sampler, environment_values=drawn.environment_values)
        attributes = dict(resolved.get_attrs())
        stack = attributes.pop("stack").args
        kinds = {f"kind_{at}": kind for at, kind in enumerate(stack)}
        return {"depth": len(stack), **kinds, **{name.replace("__", "."): one for name, one in attributes.items()}}


def _of_grammar(known: Parameter) -> Any:
    import neps

    if numbers := ranked(known):
        return neps.Integer(0, len(numbers) - 1)
    if isinstance(known.domain, Range):
        make = neps.Integer if value_type(known.domain) is int else neps.Float
        return make(known.domain.low, known.domain.high, log=known.domain.log)
    return neps.Categorical(tuple(known.domain.values))
