"""Optuna's Gaussian process over layouts and scalars together, as it comes, or with all parameters always.

As it comes it models the parameters alone that every trial has: where the depth varies, the blocks of the first places
without their options. `padded` models all, with values at random for those that do not act in a trial.
Of several objectives it expects the hypervolume that a trial adds, with a process for each.
A decision takes seconds from a few hundred trials on.
"""

from dataclasses import dataclass

from growlab.scalar import scalar
from growlab.search.samplers.tpe import ASKS, TpeOptions
from growlab.search.sampling import Ask, Suggestion, first_layout, register_sampler


@dataclass(frozen=True, kw_only=True)
class GpOptions(TpeOptions):
    asks: int = scalar(3, at_least=1, help=ASKS)  # each learns anew
    padded: bool = scalar(False, help="model blocks beyond a layout's depth, and options of other kinds, too")


@register_sampler("gp", "Optuna's Gaussian process on layouts and scalars", options=GpOptions)
def gp(ask: Ask, options: GpOptions) -> Suggestion:
    """The layouts to start with, then random draws, then what the Gaussian process suggests."""
    if first := first_layout(ask, startup_trials=options.startup_trials):
        return first
    from growlab.search.optuna.samplers import Gp
    from growlab.search.optuna.whole import suggest

    def made(seed: int) -> Gp:
        return Gp(seed=seed, n_startup_trials=options.startup_trials, warn_independent_sampling=False)

    return suggest(ask, made, n_random=options.startup_trials, tries=options.asks, padded=options.padded)
