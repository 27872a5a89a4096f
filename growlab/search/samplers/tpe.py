"""Optuna's TPE over layouts and scalars together, as it comes.

A block that stands at a place in some trials alone, and each of its options, is suggested on its own.
Of several objectives it splits trials by non-domination and hypervolume, as Optuna does.
Source: Watanabe, "Tree-Structured Parzen Estimator", 2023 (arXiv 2304.11127).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from growlab.scalar import scalar
from growlab.search.samplers.evolution import ends_unlearnt
from growlab.search.sampling import Ask, SamplerOptions, Suggestion, first_layout, register_sampler
from growlab.study import Study

ASKS = "of Optuna's sampler, for a layout within layouts.max_params, before one is drawn at random"


@dataclass(frozen=True, kw_only=True)
class OptunaOptions(SamplerOptions):
    """Of Optuna's samplers, which know several objectives each in its own way."""

    knows_several: ClassVar[bool] = True
    asks: int = scalar(10, at_least=1, help=ASKS)


@dataclass(frozen=True, kw_only=True)
class TpeOptions(OptunaOptions):
    startup_trials: int = scalar(8, at_least=0, help="drawn at random before anything is learnt")

    def warnings(self, study: Study) -> Iterator[str]:
        return ends_unlearnt(study, self.n_first(study), self.startup_trials)


@register_sampler("tpe", "Optuna's TPE on layouts and scalars", options=TpeOptions)
def tpe(ask: Ask, options: TpeOptions) -> Suggestion:
    """The layouts to start with, then random draws, then what TPE suggests."""
    if first := first_layout(ask, startup_trials=options.startup_trials):
        return first
    from growlab.search.optuna.samplers import Tpe
    from growlab.search.optuna.whole import suggest

    def made(seed: int) -> Tpe:
        return Tpe(seed=seed, n_startup_trials=options.startup_trials)

    return suggest(ask, made, n_random=options.startup_trials, tries=options.asks)
