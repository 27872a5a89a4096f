"""A mean and how sure it is: Student's t interval, of single values or of differences by seed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from growlab.finite import finite_only

USUAL_LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean of n values, in their unit. One value has no spread, so no sd and no interval."""

    mean: float
    n: int
    sd: float | None  # of single values, with n - 1 degrees of freedom
    level: float  # of the interval, such as 0.95
    half_width: float | None

    @property
    def low(self) -> float | None:
        return None if self.half_width is None else self.mean - self.half_width

    @property
    def high(self) -> float | None:
        return None if self.half_width is None else self.mean + self.half_width


def estimate(values: Sequence[float], *, level: float = USUAL_LEVEL) -> Estimate:
    """The mean with its interval: mean ± t(1 - (1 - level)/2; n - 1) · sd / √n.

    Holds the true mean in a share `level` of all experiments where values are independent and normal.
    Source: Student, The probable error of a mean, Biometrika 6 (1908).
    """
    assert values, "a mean of nothing"
    n = len(values)
    if n == 1:
        return Estimate(mean=values[0], n=1, sd=None, level=level, half_width=None)
    mean = fmean(values)
    sd = math.dist(values, [mean] * n) / (n - 1) ** 0.5
    return Estimate(mean=mean, n=n, sd=sd, level=level, half_width=t_quantile(level, n) * sd / n**0.5)


def t_quantile(level: float, n: int) -> float:
    """The half-width, in standard errors, of the interval of n ≥ 2 values."""
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 1 - (1 - level) / 2))


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """Differences ours - theirs by seed, and the seeds that only one side has.

    A seed on which a run diverged has no finite loss and so no difference. It is evidence that no interval holds:
    whoever shows the differences shows `only_ours` and `only_theirs` beside them.
    """

    differences: dict[int, float]
    only_ours: tuple[int, ...] = ()
    only_theirs: tuple[int, ...] = ()


def pair(ours: Mapping[int, float], theirs: Mapping[int, float]) -> Pairs:
    """Pairs values by seed: noise that a seed brings to both sides cancels. Seeds in rising order."""
    ours, theirs = finite_only(ours), finite_only(theirs)
    return Pairs(
        differences={seed: ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())},
        only_ours=tuple(sorted(ours.keys() - theirs.keys())),
        only_theirs=tuple(sorted(theirs.keys() - ours.keys())),
    )
