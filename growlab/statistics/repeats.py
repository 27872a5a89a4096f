"""How many repeats would tell: powers of Student's test, with the spread known only from a few repeats."""

from collections.abc import Callable

from growlab.statistics.intervals import t_quantile

PILOT = 4  # repeats to begin with: of 2 the sd is so unsure that three times as many repeats would be asked for
_MOST = 1_000_000  # more is said to be no number of repeats
_NODES = 16  # quantiles of the sd that stand for its distribution; more change the number by 1 %


def power(n: int, effect: float, sd: float, *, error: float) -> float:
    """The chance that n repeats find an effect, on its own side, at this two-sided error.

    1 - F(t; n - 1, δ), F the noncentral t distribution, t = t(1 - error/2; n - 1), δ = √n · effect / sd.
    """
    return _mean_power(n, effect, [sd], error)


def repeats_to_find(effect: float, *, sd: float, n: int, error: float, power: float) -> int | None:
    """The least number of repeats that finds the effect with this power, where n repeats showed this sd.

    The true sd is not known: (n - 1) sd² / σ² is χ² with n - 1 degrees of freedom, so σ has a (fiducial) distribution,
    and it is the power's mean over it that is held. With the observed sd put in as if it were σ, the number asked for
    finds the effect in 64 to 75 % where 80 % are meant (n = 4), in 50 to 58 % (n = 2), as small sd ask for too few.
    With this mean it is at least 80 % for every n and effect that were simulated.
    None where it is more than a million. Sources: noncentral t as for any power of Student's test; the mean over σ as
    'assurance', A. O'Hagan, J. W. Stevens and M. J. Campbell, Pharmaceutical Statistics 4 (2005).
    """
    from scipy.special import chdtri

    degrees = n - 1
    sds = [sd * (degrees / float(chdtri(degrees, (at + 0.5) / _NODES))) ** 0.5 for at in range(_NODES)]
    return _least(lambda repeats: _mean_power(repeats, effect, sds, error) >= power)


def repeats_to_settle(margin: float, *, sd: float, error: float) -> int | None:
    """The least number of repeats whose interval is no wider than the margin, if they show the same sd.

    Such an interval excludes 0 or lies within ± margin, wherever it lies: there is a verdict.
    """
    return _least(lambda repeats: 2 * t_quantile(1 - error, repeats) * sd <= margin * repeats**0.5)


def repeats_to_agree(error: float) -> int:
    """The least number of repeats that the sign test can decide, all of one sign: 2 · 2^-n ≤ error."""
    n = 1
    while 2.0 ** (1 - n) > error:
        n += 1
    return n


def _mean_power(n: int, effect: float, sds: list[float], error: float) -> float:
    import numpy as np
    from scipy.special import nctdtr, stdtrit

    critical = stdtrit(n - 1, 1 - error / 2)
    return float(np.mean(1 - nctdtr(n - 1, effect * n**0.5 / np.asarray(sds), critical)))


def _least(enough: Callable[[int], bool]) -> int | None:
    """The least n ≥ 2 that is enough, where every larger one is."""
    if enough(2):
        return 2
    too_few, n = 2, 4
    while not enough(n):
        too_few, n = n, 2 * n
        if n > _MOST:
            return None
    while n - too_few > 1:
        middle = (too_few + n) // 2
        too_few, n = (too_few, middle) if enough(middle) else (middle, n)
    return n
