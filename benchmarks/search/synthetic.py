"""A made-up loss over layouts, learning rate and weight decay, whose best point is known exactly.

    loss = 1.5 + 0.5 exp(2 s) + 0.04 r (ln lr − ln lr*(layout))² + 0.01 (ln wd − ln wd*(depth))²
    s    = mean over blocks of (kind + kind at this place) + mean over neighbours of pair
           + 0.02 (depth − depth*)² / depth

r is 2 above the optimum, else 1: too high a rate costs more than too low a one. Both optima lie inside their ranges for
every layout, so the best loss is that of the best layout, which a walk over places and kinds finds (Viterbi).
Neighbours of unlike roles are better on average, as they are in language models. Drawn anew for each seed.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise

import numpy as np

ROLES: Mapping[str, str] = {
    "attn": "sequence",
    "conv": "sequence",
    "hebbian": "sequence",
    "mlp": "channel",
    "moe": "channel",
    "ssm": "sequence",
    "swa": "sequence",
}
DEPTH = (4, 10)
LR, DECAY = (1e-4, 1e-1), (1e-3, 1.0)
_NAMES = list(ROLES)


class Synthetic:
    """One drawn loss. Kinds are numbered as ROLES lists them."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n = len(_NAMES)
        channel = np.array([role == "channel" for role in ROLES.values()])
        self.kind = rng.normal(0, 0.15, n)
        self.place = rng.normal(0, 0.15, (DEPTH[1], n))
        self.pair = rng.normal(0, 0.15, (n, n)) - 0.1 * (channel[:, None] != channel[None, :])
        self.best_depth = int(rng.integers(DEPTH[0], DEPTH[1] + 1))
        self.lr_of_kind = rng.normal(0, 0.8, n)
        self.lr, self.decay = rng.normal(math.log(3e-3), 0.3), rng.normal(math.log(0.05), 0.5)

    def score(self, stack: Sequence[int]) -> float:
        """s of a stack of kinds: lower is better."""
        own = sum(self.kind[name] + self.place[at, name] for at, name in enumerate(stack))
        pairs = sum(self.pair[pair] for pair in pairwise(stack))
        return float(own / len(stack) + pairs / (len(stack) - 1) + self._depth_term(len(stack)))

    def _depth_term(self, depth: int) -> float:
        return 0.02 * (depth - self.best_depth) ** 2 / depth

    def loss(self, kinds: Sequence[str], lr: float, decay: float) -> float:
        stack = [_NAMES.index(kind) for kind in kinds]
        off_lr = math.log(lr) - self._best_lr(stack)
        off_decay = math.log(decay) - self._best_decay(len(stack))
        uphill = 2.0 if off_lr > 0 else 1.0
        return _of_score(self.score(stack)) + 0.04 * uphill * off_lr**2 + 0.01 * off_decay**2

    def _best_lr(self, stack: Sequence[int]) -> float:
        """Lower for deeper layouts, and of the kinds in it; ln."""
        wanted = self.lr - 0.1 * (len(stack) - DEPTH[0]) + float(np.mean(self.lr_of_kind[list(stack)]))
        return float(np.clip(wanted, math.log(LR[0]), math.log(LR[1])))

    def _best_decay(self, depth: int) -> float:
        """Higher for deeper layouts; ln."""
        return min(self.decay + 0.1 * (depth - DEPTH[0]), math.log(DECAY[1]))

    @cached_property
    def best(self) -> float:
        """The loss of the best layout at its own lr and decay."""
        return _of_score(min(self.best_score(depth) for depth in range(DEPTH[0], DEPTH[1] + 1)))

    def best_score(self, depth: int) -> float:
        """The lowest score of all stacks of a depth whose first block is a sequence mixer."""
        first = np.array([0.0 if role == "sequence" else np.inf for role in ROLES.values()])
        ending = first + (self.kind + self.place[0]) / depth
        for at in range(1, depth):
            ending = (ending[:, None] + self.pair / (depth - 1)).min(axis=0) + (self.kind + self.place[at]) / depth
        return float(ending.min()) + self._depth_term(depth)


def _of_score(score: float) -> float:
    return 1.5 + 0.5 * math.exp(2 * score)
