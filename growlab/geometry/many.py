"""The statistics of many paths at once, as growlab.geometry.trajectory has them of one, and as it documents them.

One after another they take 50 µs each on the host, for which a GPU waits.

Legend: A paths; n increments of each, m = n + 1.
"""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from growlab.geometry.trajectory import CLOSED
from growlab.records import PathStatistics

Grams = Float[Tensor, "A n n"]
Entries = np.ndarray[Any, np.dtype[np.float64]]  # of the matrices, or their diagonals
Column = Float[np.ndarray, " A"]  # a statistic of every path; NaN where there is none


def bordered_grams(gram_Ann: Grams, rows_Am: Float[Tensor, "A m"]) -> Float[Tensor, "A m m"]:
    """Border every matrix with a last row and column, on the CPU."""
    n = gram_Ann.shape[1]
    extended = torch.empty(len(rows_Am), n + 1, n + 1, dtype=torch.float64)
    extended[:, :n, :n] = gram_Ann
    extended[:, n, :] = rows_Am
    extended[:, :, n] = rows_Am
    return extended


@np.errstate(all="ignore")
def path_statistics_of_all(gram_Ann: Grams) -> list[PathStatistics]:
    """All statistics of every path, each from the Gram matrix of its n ≥ 1 increments."""
    entries = gram_Ann.detach().numpy()
    n = entries.shape[1]
    diagonal_An, total_A = np.diagonal(entries, axis1=1, axis2=2), entries.sum((1, 2))
    path_A = np.sqrt(diagonal_An.clip(min=0)).sum(1)
    length_A = np.sqrt(total_A.clip(min=0))
    distance_A = np.where(length_A > CLOSED * path_A, length_A, 0.0)
    tau_A = np.where(distance_A > 0, path_A / distance_A, np.inf)
    off_A = (total_A - diagonal_An.sum(1)) / max(n * (n - 1), 1)
    columns = {
        "tau": tau_A,
        "kappa": _kappa(entries, diagonal_An, distance_A),
        "diffusion_exponent": np.where(np.isinf(tau_A) | (n < 2), np.nan, 1 - np.log(tau_A) / np.log(n)),
        "drift_to_noise": _drift_to_noise(diagonal_An, off_A),
        "drift_z": _drift_z(entries, diagonal_An, off_A),
    }
    known = {name: list(map(_or_none, np.where(path_A == 0, np.nan, column))) for name, column in columns.items()}
    columns_of_all: dict[str, list[Any]] = known | {"path": path_A.tolist(), "displacement": distance_A.tolist()}
    rows = zip(*columns_of_all.values(), strict=True)
    return [PathStatistics(**dict(zip(columns_of_all, row, strict=True))) for row in rows]


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _kappa(entries: Entries, diagonal_An: Entries, distance_A: Column) -> Column:
    along_An = entries.sum(2) / distance_A[:, None]
    across_An = np.sqrt((diagonal_An - along_An**2).clip(min=0))
    return np.where(distance_A > 0, across_An.sum(1) / np.abs(along_An).sum(1), np.inf)


def _drift_to_noise(diagonal_An: Entries, off_A: Column) -> Column:
    if diagonal_An.shape[1] < 2:
        return np.full(len(off_A), np.nan)
    mean_A = diagonal_An.mean(1)
    noise_A = mean_A - off_A
    return np.where(noise_A > 1e-14 * mean_A, off_A / noise_A, np.inf)


def _drift_z(entries: Entries, diagonal_An: Entries, off_A: Column) -> Column:
    n = entries.shape[1]
    if n < 4:
        return np.full(len(off_A), np.nan)
    centred_Ann = entries - off_A[:, None, None]
    centred_Ann[:, np.arange(n), np.arange(n)] = 0
    same_A = (centred_Ann**2).sum((1, 2))
    share_one_A = (centred_Ann.sum(2) ** 2).sum(1) - same_A
    share_none_A = centred_Ann.sum((1, 2)) ** 2 - 2 * same_A - 4 * share_one_A
    total_A = 4 * same_A * (n - 2) * (n - 3) - 8 * share_one_A * (n - 3) + 4 * share_none_A
    trace_squared_A: Column = total_A.clip(min=0) / (n * (n - 1) * (n - 2) * (n - 3)) / 4
    steady_A: Column = trace_squared_A <= (1e-14 * diagonal_An.mean(1)) ** 2
    z_A: Column = np.where(steady_A, np.copysign(np.inf, off_A), off_A * np.sqrt(n * (n - 1) / (2 * trace_squared_A)))
    return z_A
