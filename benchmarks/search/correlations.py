"""What a reading at a rung says of the loss at the end: Spearman's correlation over trainings, and what it costs.

Intervals are of 95 %, by the bootstrap over trainings (2,000 resamples, percentiles). Two readings of the same price
are compared by the difference of their correlations over the same resamples: the average with the trunk, whose FLOPs it
has, and the branch with the trunk as it is once that has spent what the branch had cost (`later`). A loss that is no
finite number is the worst.

Beside it, of the best third by a reading, how many of the best tenth at the end are in it, and the geometric mean of
their learning rates over that of the best third at the end: below 1 low learning rates look better than they are.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import rankdata

N_RESAMPLES = 2_000
AT_ONCE = 250  # resamples, so that their ranks fit into memory
KINDS = ("trunk", "average", "later", "branch")
SAME_PRICE = (("average", "trunk"), ("branch", "later"))

Row = Mapping[str, str]
Values = np.ndarray  # of trainings


def report(rows: Sequence[Row], shares: Sequence[float]) -> str:
    """Tables for people, a line for each rung and reading."""
    ends = column(rows, "val_loss")
    n_finite = int(np.isfinite(ends).sum())
    if n_finite < 10:
        return f"{n_finite} trainings with a loss at the end: too few for a correlation"
    lr = column(rows, "lr")
    found: dict[tuple[str, int], np.ndarray] = {}
    lines = [f"{len(rows)} trainings, {len(rows) - n_finite} of them without a loss at the end", TITLE]
    for rung, share in enumerate(shares):
        for kind in KINDS:
            values = column(rows, f"{kind}_{rung}")
            resampled = found[kind, rung] = resampled_correlations(values, ends)
            price = np.median(prices(rows, kind, rung) / column(rows, "flops"))
            lines.append(
                f"{share:>8.4f}  {kind:<8}{price:>9.4f}{correlation(values, ends):>9.4f} {interval(resampled)}"
                f"{kept(values, ends):>8.2f}{lr_bias(values, ends, lr):>10.2f}"
            )
    lines += ["", "differences at equal FLOPs"]
    for rung, share in enumerate(shares):
        for kind, other in SAME_PRICE:
            difference = found[kind, rung] - found[other, rung]
            lines.append(
                f"{share:>8.4f}  {kind} - {other:<8}{difference.mean():>+9.4f} {interval(difference, sign='+')}"
            )
    return "\n".join(lines)


TITLE = f"{'rung':>8}  {'reading':<8}{'FLOPs':>9}{'rho':>9} {'95 %':<18}{'kept':>8}{'lr ratio':>10}"


def column(rows: Sequence[Row], name: str) -> Values:
    """A column of numbers; what is no number is inf."""
    values = np.array([float(row[name]) for row in rows])
    return np.where(np.isnan(values), np.inf, values)


def prices(rows: Sequence[Row], kind: str, rung: int) -> Values:
    """FLOPs that had been spent on each training for this reading; inf where it did not come so far."""
    spent = column(rows, f"flops_{rung}")
    if kind in ("branch", "later"):
        spent = spent + column(rows, f"branch_flops_{rung}")
    return spent


def correlation(values: Values, ends: Values) -> float:
    return float(_correlations(values[None], ends[None])[0])


def resampled_correlations(values: Values, ends: Values) -> np.ndarray:
    """The correlation in each resample, which are the same ones at every call with as many trainings."""
    drawn = np.random.default_rng(0).integers(values.size, size=(N_RESAMPLES, values.size))
    pieces = np.split(drawn, range(AT_ONCE, N_RESAMPLES, AT_ONCE))
    return np.concatenate([_correlations(values[piece], ends[piece]) for piece in pieces])


def _correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Spearman's, row by row."""
    a, b = (rankdata(values, axis=1) for values in (one, other))
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # a resample whose values are all equal has none
        return (a * b).sum(axis=1) / np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))


def interval(resampled: np.ndarray, sign: str = "") -> str:
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    return f"[{low:{sign}.4f}, {high:{sign}.4f}]".ljust(18)


def kept(values: Values, ends: Values) -> float:
    """The share of the best tenth at the end that is among the best third by a reading."""
    best = set(_best(ends, 0.1))
    return len(best & set(_best(values, 1 / 3))) / len(best)


def lr_bias(values: Values, ends: Values, lr: Values) -> float:
    ours, theirs = (np.log(lr[_best(losses, 1 / 3)]).mean() for losses in (values, ends))
    return math.exp(ours - theirs)


def _best(losses: Values, share: float) -> list[int]:
    n = max(1, round(share * losses.size))
    return [int(at) for at in np.argsort(losses, kind="stable")[:n]]
