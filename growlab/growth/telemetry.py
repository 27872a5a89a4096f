"""From a window to rows: one TrajectoryPoint per tensor, and their unweighted mean.

The mean is what the trigger acts on, so what is reported is what acted.
"""

from collections.abc import Sequence

from growlab.geometry.trajectory import Shape
from growlab.growth.window import Window
from growlab.records import TrajectoryPoint


def observe(window: Window, *, step: int, unit: int) -> list[TrajectoryPoint]:
    """The mean first (tensor = ""), then each tensor. Empty until there are three snapshots: κ needs them."""
    if len(window) < 3:
        return []
    shapes = window.shapes()
    named = [("", mean_shape(list(shapes.values()))), *shapes.items()]
    return [
        TrajectoryPoint(
            step=step,
            unit=unit,
            tensor=tensor,
            n_increments=shape.n_increments,
            tau=shape.tau,
            kappa=shape.kappa,
            diffusion_exponent=shape.diffusion_exponent,
            drift_to_noise=shape.drift_to_noise,
            drift_z=shape.drift_z,
            path=shape.path,
            displacement=shape.displacement,
        )
        for tensor, shape in named
    ]


def mean_shape(shapes: Sequence[Shape]) -> Shape:
    """Unweighted over tensors, as the founding project does; tensors without a value are left out.

    A tensor that never moved has no τ and must not pull the mean; one closed path makes it inf.
    """
    return Shape(
        n_increments=shapes[0].n_increments,
        tau=_mean([each.tau for each in shapes]),
        kappa=_mean([each.kappa for each in shapes]),
        diffusion_exponent=_mean([each.diffusion_exponent for each in shapes]),
        drift_to_noise=_mean([each.drift_to_noise for each in shapes]),
        drift_z=_mean([each.drift_z for each in shapes]),
        path=_mean([each.path for each in shapes]) or 0.0,
        displacement=_mean([each.displacement for each in shapes]) or 0.0,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
