"""The winners of a search again, on seeds that chose nothing.

The best of many trials was good and lucky: what the search saw of it is too good by what it was chosen for (the
winner's curse; of 200 equal trials the best looks 2.7 sd better than it is). On fresh seeds nothing was chosen, so
means there are honest, and a family of as many comparisons as there are winners (`verdict`, Holm) says which of them
beat a baseline. The first of them by the fresh mean is chosen again: its decision is corrected for that, its mean is
still a little flattered.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from growlab.finite import finite_only
from growlab.statistics.gains import loss_gains
from growlab.statistics.intervals import Estimate, estimate
from growlab.statistics.verdict import Decision, Rule, decide


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """One winner, val_loss in nats per token, lower is better."""

    name: str
    rank: int  # from 1, by the mean over fresh seeds
    claimed_rank: int
    claimed: float  # what the search saw
    fresh: Estimate
    lost: tuple[int, ...]  # fresh seeds without a loss: it diverged there, so it ranks below all that did not
    decision: Decision | None  # against the baseline; None without one

    @property
    def curse(self) -> float:
        """Nats by which the search had flattered it."""
        return self.fresh.mean - self.claimed

    @property
    def text(self) -> str:
        width = "" if self.fresh.half_width is None else f" ± {self.fresh.half_width:.4f}"
        say = "1 fresh seed says" if self.fresh.n == 1 else f"{self.fresh.n} fresh seeds say"
        return f"the search claimed {self.claimed:.4f}; {say} {self.fresh.mean:.4f}{width}"


def confirm(
    claimed: Mapping[str, float],
    fresh: Mapping[str, Mapping[int, float]],
    *,
    searched: Collection[int],
    rule: Rule,
    baseline: Mapping[int, float] | None = None,
    look: int = 1,
) -> list[Confirmed]:
    """The winners by their mean over fresh seeds, the best first.

    `claimed` are the search's losses, `fresh` (and the baseline's) losses by seed, `searched` the seeds that the search
    saw, of which none may be fresh. A winner without any fresh loss is left out.
    """
    seeds = sorted({seed for losses in fresh.values() for seed in losses})
    assert not set(seeds) & set(searched), "seeds that chose the winners cannot confirm them"
    losses = {name: kept for name in claimed if (kept := finite_only(fresh[name]))}
    decisions = {} if baseline is None else _against(baseline, losses, rule, look)
    estimates = {name: estimate(list(kept.values()), level=rule.level) for name, kept in losses.items()}
    lost = {name: tuple(seed for seed in seeds if seed not in kept) for name, kept in losses.items()}
    claimed_order = sorted(claimed, key=claimed.__getitem__)
    order = sorted(losses, key=lambda name: (bool(lost[name]), estimates[name].mean))
    return [
        Confirmed(
            name=name,
            rank=rank,
            claimed_rank=claimed_order.index(name) + 1,
            claimed=claimed[name],
            fresh=estimates[name],
            lost=lost[name],
            decision=decisions.get(name),
        )
        for rank, name in enumerate(order, start=1)
    ]


def _against(
    baseline: Mapping[int, float], losses: Mapping[str, Mapping[int, float]], rule: Rule, look: int
) -> dict[str, Decision]:
    """Decisions on the winners that share a seed with the baseline: one family."""
    gains = {name: loss_gains(kept, baseline) for name, kept in losses.items()}
    return decide({name: values for name, values in gains.items() if values}, rule, look=look)
