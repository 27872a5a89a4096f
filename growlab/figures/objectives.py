"""What trials come to in two things at once: loss against size or compute, or any two objectives, and the front."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import altair as alt

from growlab.figures import style
from growlab.preparation.fronts import Front

if TYPE_CHECKING:
    import pandas as pd

    from growlab.frames.study_tables import StudyTables

ON_FRONT, BEATEN, BEYOND = "on the front", "beaten", "beyond a constraint"
_UNITS = {
    "params": "parameters",
    "n_params": "parameters",
    "flops": "training FLOPs",
    "val_loss": "val_loss, nats per token",
    "best_val_loss": "best val_loss, nats per token",
    "bits_per_byte": "bits per byte",
    "memory": "memory of training, bytes",
    "flops_per_token": "FLOPs per token",
}


def pareto(study: "StudyTables", against: str) -> Any:
    """Completed trials by an objective and the first one, with the front; None where fewer than two are known.

    `against` is the key of another objective; of a study that has one alone n_params or flops, without a front.
    """
    front, first = study.front, study.study.objective.metric
    frame = objectives_frame(study, against)
    if len(frame) < 2:
        return None
    groups = [name for name in (ON_FRONT, BEATEN, BEYOND) if name in set(frame.group)]
    base = alt.Chart(frame)
    x = alt.X("x:Q", title=_UNITS.get(against, against), scale=_scale(frame), axis=style.FLOPS_AXIS)
    y = alt.Y("y:Q", title=_UNITS.get(first, first), scale=alt.Scale(zero=False, padding=12))
    legend = style.legend() if len(groups) > 1 or front else None
    colour = alt.Color("group:N", scale=_named(groups, _COLOURS), legend=legend)
    shape = alt.Shape("group:N", scale=_named(groups, _SHAPES), legend=legend)
    points = base.mark_point(filled=True, size=80).encode(
        x=x,
        y=y,
        color=colour,
        shape=shape,
        opacity=style.emphasised(0.9, 0.12),
        tooltip=[
            *style.TRIAL_TOOLTIP,
            alt.Tooltip("x:Q", title=against, format=".4s"),
            alt.Tooltip("y:Q", title=first, format=".4f"),
        ],
    )
    layers = [points]
    if front and len(front.objectives) == 2:
        step: Literal["step-after", "step-before"] = (
            "step-after" if front.objectives[1].lower_is_better(1.0) > 0 else "step-before"
        )
        line = base.transform_filter(alt.datum.group == ON_FRONT).mark_line(interpolate=step, strokeWidth=1.5)
        layers.insert(
            0, line.encode(x=x, y=y, order=alt.Order("x:Q"), color=alt.value(style.RED), opacity=alt.value(0.6))
        )
    chart = alt.layer(*layers).add_params(style.focus())
    title = f"{first} against {against}"
    subtitle = "Completed trials; no other one is better than those on the front in all objectives at once."
    return style.finished(chart, title, subtitle if front else "Completed trials. Left and low is good.")


_COLOURS = {ON_FRONT: style.RED, BEATEN: style.BLUE, BEYOND: style.QUIET}
_SHAPES = {ON_FRONT: "diamond", BEATEN: "circle", BEYOND: "cross"}


def _named(groups: list[str], values: Mapping[str, str]) -> alt.Scale:
    return alt.Scale(domain=groups, range=[values[name] for name in groups])


def objectives_frame(study: "StudyTables", against: str) -> "pd.DataFrame":
    """trial, layout, x, y, group: of completed trials of which both are known."""
    trials, first = study.trials(), study.study.objective.metric
    column = "n_params" if against == "params" and against not in trials else against
    frame = trials[trials.state == "completed"]
    frame = frame.assign(x=frame[column].astype("float64"), y=frame[first].astype("float64"))
    frame = frame.dropna(subset=["x", "y"])
    frame = frame.assign(group=[_group(number, study.front) for number in frame.trial])
    return frame[["trial", "layout", "x", "y", "group"]]


def _group(number: int, front: Front | None) -> str:
    if front is None:
        return BEATEN
    return ON_FRONT if number in front.trials else BEYOND if number in front.infeasible else BEATEN


def _scale(frame: "pd.DataFrame") -> alt.Scale:
    """Logarithmic where the values span more than a factor of three."""
    low, high = float(frame.x.min()), float(frame.x.max())
    if 0 < 3 * low < high:
        return alt.Scale(type="log", nice=False, padding=12)
    return alt.Scale(zero=False, nice=False, padding=12)
