"""How often the triggers `corrected` and `stagnation` fire on windows with a drift and without one.

    python benchmarks/growth/triggers.py [--windows 400] [--seed 0]

No comparison in time: a table. A window is S snapshots of one tensor. Its increments are a drift of length r and noise
of length 1, normal, with eigenvalues i^-exponent, as many of them as make the effective dimension (Σλ)²/Σλ². Noise is
independent, or each increment has a correlation with the one before (from S = 12: fewer increments cannot tell that
from a drift). Drifts have a random direction, or one that the noise prefers ('aligned').

Both rules are asked once, with patience 1; the seed's at its defaults, of a loss that stands still, so that its
geometry alone decides. What is right: ≤ 5 % at r ≥ 0.5 and ≥ 90 % at r = 0. Exits with 1 where `corrected` is not.

Legend: n increments, D entries.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from growlab.geometry.trajectory import lasting_drift, path_statistics
from growlab.growth.moment import Moment
from growlab.growth.triggers.corrected import Corrected, CorrectedOptions
from growlab.growth.triggers.stagnation import Stagnation, StagnationOptions
from growlab.records import TrajectoryPoint
from growlab.scalar import with_defaults

SIZES = (8, 9, 10, 12, 15, 20, 31)
SPECTRA = ((0.0, 50), (0.5, 50), (1.0, 50), (0.7, 200))  # exponent, effective dimension
DRIFTS = ((0.0, False), (0.5, False), (0.5, True), (0.7, False))  # r, aligned
FEWEST_WITH_CORRELATION = 12
STEP = 10_000


@dataclass(frozen=True, kw_only=True)
class Setting:
    size: int  # S
    exponent: float
    effective: int
    correlation: float
    r: float
    aligned: bool


def settings(sizes: tuple[int, ...] = SIZES) -> Iterator[Setting]:
    for size in sizes:
        for correlation in (0.0, 0.5) if size >= FEWEST_WITH_CORRELATION else (0.0,):
            for exponent, effective in SPECTRA:
                for r, aligned in DRIFTS:
                    yield Setting(
                        size=size,
                        exponent=exponent,
                        effective=effective,
                        correlation=correlation,
                        r=r,
                        aligned=aligned,
                    )


def eigenvalues(exponent: float, effective: int) -> np.ndarray:
    """The fewest i^-exponent whose effective dimension is at least that, with the sum 1."""
    n = effective
    while True:
        values_D = np.arange(1, n + 1) ** -exponent
        if values_D.sum() ** 2 / (values_D**2).sum() >= effective * (1 - 1e-9):
            return values_D / values_D.sum()
        n += max(1, n // 50)


def gram(setting: Setting, values_D: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The Gram matrix of one window's increments."""
    root_D = np.sqrt(values_D)
    noise_nD = random.standard_normal((setting.size - 1, len(values_D))) * root_D
    keeps, renews = setting.correlation, np.sqrt(1 - setting.correlation**2)
    for i in range(1, len(noise_nD)):
        noise_nD[i] = keeps * noise_nD[i - 1] + renews * noise_nD[i]
    drift_D = random.standard_normal(len(values_D)) * (root_D if setting.aligned else 1)
    increments_nD = noise_nD + setting.r * drift_D / np.linalg.norm(drift_D)
    return increments_nD @ increments_nD.T


def fired(gram_nn: np.ndarray) -> tuple[bool, bool]:
    """Whether `corrected` and the seed's rule ask for growth after this window."""
    path = TrajectoryPoint(step=STEP, unit=0, tensor="", n_increments=len(gram_nn), **vars(path_statistics(gram_nn)))
    moment = Moment(
        step=STEP,
        progress=0.5,
        flops=1,
        train_loss=1.0,
        val_loss=1.0,
        path=path,
        lasting_drift=lasting_drift(gram_nn),
    )
    corrected = Corrected(with_defaults(CorrectedOptions, patience=1))
    seed = Stagnation(with_defaults(StagnationOptions, patience=1))
    seed.look(moment)
    return corrected.check(moment), seed.check(moment)


def shares(setting: Setting, n_windows: int, seed: int) -> tuple[float, float]:
    """The shares of windows after which each of the two fires."""
    random, values_D = np.random.default_rng(seed), eigenvalues(setting.exponent, setting.effective)
    answers = np.array([fired(gram(setting, values_D, random)) for _ in range(n_windows)])
    return float(answers[:, 0].mean()), float(answers[:, 1].mean())


def is_right(setting: Setting, share: float) -> bool:
    return share >= 0.9 if setting.r == 0 else share <= 0.05


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print("python benchmarks/growth/triggers.py", *sys.argv[1:])
    print(
        f"{asked.windows} windows a row: the standard error of a share of 5 % is {(0.0475 / asked.windows) ** 0.5:.1%}"
    )
    print(f"{'S':>3} {'correlation':>11} {'exponent':>8} {'dimension':>9} {'drift r':>15} {'corrected':>9} {'seed':>6}")
    wrong = 0
    for setting in settings():
        corrected, seed = shares(setting, asked.windows, asked.seed)
        right = is_right(setting, corrected)
        wrong += not right
        drift = f"{setting.r:g}" + " (aligned)" * setting.aligned
        print(
            f"{setting.size:>3} {setting.correlation:>11g} {setting.exponent:>8g} {setting.effective:>9} {drift:>15} "
            f"{corrected:>9.1%} {seed:>6.1%}" + "  !" * (not right)
        )
    print(f"{wrong} rows are wrong")
    return wrong > 0


if __name__ == "__main__":
    sys.exit(main())
