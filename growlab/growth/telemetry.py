"""From a window to rows: one TrajectoryPoint per tensor, and their unweighted mean.

The mean is what the trigger acts on, so what is reported is what acted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from growlab.geometry.trajectory import back_test, lasting_drift
from growlab.growth.paths import Paths
from growlab.growth.window import Window
from growlab.records import PathStatistics, TrajectoryPoint, float_fields


def observe(window: Window, *, step: int, unit: int) -> list[TrajectoryPoint]:
    """Make points of a window: the mean first (tensor = ""), then all tensors.

    Empty until there are three snapshots: κ needs them.
    """
    if len(window) < 3:
        return []
    of_tensors = window.statistics()
    named = {"": mean_statistics(list(of_tensors.values())), **of_tensors}
    return [
        TrajectoryPoint(step=step, unit=unit, tensor=tensor, n_increments=len(window) - 1, **asdict(statistics))
        for tensor, statistics in named.items()
    ]


def observe_others(paths: Paths, *, step: int, units: Mapping[int, int]) -> list[TrajectoryPoint]:
    """Make the points of the means (tensor = "") of all watched units besides the newest, by their place.

    `units` are the places of the units, by identity. Empty until there are three snapshots, as above.
    """
    if len(paths.newest) < 3:
        return []
    means = {units[unit]: mean_statistics(of_unit) for unit, of_unit in paths.statistics_of_others().items()}
    n = len(paths.newest) - 1
    return [
        TrajectoryPoint(step=step, unit=unit, tensor="", n_increments=n, **asdict(means[unit]))
        for unit in sorted(means)
    ]


def mean_lasting_drift(window: Window) -> float | None:
    """Average the drift of a window's tensors that is no correlation, r̂², as mean_statistics does the rest."""
    return _mean([lasting_drift(track.gram) for track in window.tracks.values() if len(track.increments)])


def mean_back_test(window: Window) -> float | None:
    """Average λ over a window's tensors: how far the first half of each path predicts its second."""
    return _mean([back_test(track.gram) for track in window.tracks.values() if len(track.increments)])


def mean_statistics(of_tensors: Sequence[PathStatistics]) -> PathStatistics:
    """Average over tensors, unweighted, as the founding project has it; tensors without a value are left out.

    A tensor that never moved has no τ and must not pull the mean; one closed path makes it inf.
    """
    means: dict[str, Any] = {
        name: _mean([getattr(statistics, name) for statistics in of_tensors]) for name in float_fields(PathStatistics)
    }
    return PathStatistics(**means)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
