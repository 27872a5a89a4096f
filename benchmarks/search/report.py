"""What the rows of regret.py say: each search's regret, and how it compares with every other, seed by seed.

The figure of a run is its mean regret over trials 20 to the last. A ratio is that of the means of two searches over the
seeds that both have, with a 95 % interval by the bootstrap over seeds (pairs kept, 10,000 resamples, percentiles) and p
of Wilcoxon's signed-rank test, two-sided. Below 1 the search of interest has the lower regret.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

import numpy as np
from scipy.stats import wilcoxon

FIRST = 20  # trial, counted from 1, from which on regret counts
N_RESAMPLES = 10_000
# problems that differ from another one by names alone, which must change nothing
RENAMED = {"macro-renamed": "macro", "macro-renamed-means": "macro-means"}

Row = Mapping[str, str]
Figures = dict[int, float]  # by seed


def report(rows: Sequence[Row], of: Sequence[str]) -> str:
    """Tables for people: means, ratios of the searches `of` to all others, and what names change."""
    lines: list[str] = []
    for problem in dict.fromkeys(row["problem"] for row in rows):
        known = [row for row in rows if row["problem"] == problem]
        searches = list(dict.fromkeys(row["search"] for row in known))
        lines += ["", f"{problem}", *_means(known, searches)]
        for search in [name for name in of if name in searches]:
            others = [name for name in searches if name != search]
            ratios = [_ratio(rows, (problem, search), (problem, name), name) for name in others]
            lines += [f"  {search} to", *ratios] if ratios else []
    for renamed, plain in RENAMED.items():
        searches = sorted({row["search"] for row in rows if row["problem"] == renamed})
        if searches:
            lines += ["", f"{renamed} to {plain}"]
            lines += [_ratio(rows, (renamed, name), (plain, name), name) for name in searches]
    return "\n".join(lines[1:])


def _means(rows: Sequence[Row], searches: Iterable[str]) -> list[str]:
    title = f"  {'search':<18}{'seeds':>6}{f'regret {FIRST}–':>12}{'s.e.':>9}{'last':>9}{'distinct':>10}{'CPU s':>8}"
    lines = [title]
    for search in searches:
        own = [row for row in rows if row["search"] == search]
        mean = list(_figures(own).values())
        error = float(np.std(mean, ddof=1)) / len(mean) ** 0.5 if len(mean) > 1 else float("nan")
        last, distinct, cpu_s = (
            fmean(float(row[column].split()[-1]) for row in own) for column in ("regrets", "distinct", "cpu_s")
        )
        lines.append(
            f"  {search:<18}{len(own):>6}{fmean(mean):>12.4f}{error:>9.4f}{last:>9.4f}{distinct:>10.1f}{cpu_s:>8.2f}"
        )
    return lines


def _figures(rows: Iterable[Row]) -> Figures:
    return {int(row["seed"]): fmean(map(float, row["regrets"].split()[FIRST - 1 :])) for row in rows}


def _ratio(rows: Sequence[Row], one: tuple[str, str], other: tuple[str, str], title: str) -> str:
    first, second = (_figures(row for row in rows if (row["problem"], row["search"]) == key) for key in (one, other))
    seeds = sorted(first.keys() & second.keys())
    if len(seeds) < 2:
        return f"    {title:<16}{len(seeds):>6} seeds in common"
    ratio, low, high, p = compare([first[seed] for seed in seeds], [second[seed] for seed in seeds])
    return f"    {title:<16}{len(seeds):>6}{ratio:>8.2f} [{low:.2f}, {high:.2f}]  p {p:.2g}"


def compare(first: Sequence[float], second: Sequence[float]) -> tuple[float, float, float, float]:
    """The ratio of the means of pairs, the ends of its interval, and p. Needs two pairs or more."""
    pairs = np.array([first, second])
    drawn = np.random.default_rng(0).integers(pairs.shape[1], size=(N_RESAMPLES, pairs.shape[1]))
    with np.errstate(divide="ignore", invalid="ignore"):
        numerator, denominator = pairs[:, drawn].mean(axis=2)
        low, high = np.nanpercentile(numerator / denominator, [2.5, 97.5], method="nearest")
        ratio = pairs[0].mean() / pairs[1].mean()
    differs = bool((pairs[0] != pairs[1]).any())
    p = float(wilcoxon(*pairs).pvalue) if differs else 1.0
    return float(ratio), float(low), float(high), p
