"""Parallel coordinates: a line a trial through all that was searched, to what came of it."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np

from growlab import amounts
from growlab.domains import Fixed, Range
from growlab.figures import style

if TYPE_CHECKING:
    import pandas as pd

    from growlab.frames.study_tables import StudyTables

_MOST_AXES = 9
_NARROW = "width < 460"
_AXIS = alt.Axis(
    labelAngle=alt.ExprRef(f"{_NARROW} ? -50 : 0"),
    labelAlign=alt.ExprRef(f"{_NARROW} ? 'right' : 'center'"),
    labelBaseline=alt.ExprRef(f"{_NARROW} ? 'middle' : 'top'"),
    labelLimit=110,
    labelOverlap=False,
    grid=True,
    domain=False,
)
_LEAST_SHARE = 0.3  # of trials, in which a scalar must act to have an axis


def parallel(study: "StudyTables") -> Any:
    """Trials with a loss, through their searched scalars, depth and parameters; None of fewer than two."""
    frame, ticks = parallel_frame(study)
    if frame.trial.nunique() < 2:
        return None
    axes = list(dict.fromkeys(frame.axis))
    x = alt.X("axis:N", scale=alt.Scale(domain=axes), sort=None, title=None, axis=_AXIS)
    y = alt.Y("place:Q", axis=None, scale=alt.Scale(domain=[-0.04, 1.04], nice=False))
    colour = alt.Color(
        "goodness:Q",
        scale=alt.Scale(scheme=style.NUMBERS, domain=[0, 1]),
        legend=style.legend(
            "place by loss", values=[0, 1], labelExpr="datum.value == 0 ? 'worst' : 'best'", gradientLength=120
        ),
    )
    lines = (
        alt.Chart(frame)
        .mark_line(interpolate="monotone", strokeWidth=1.6)
        .encode(x=x, y=y, detail="trial:N", color=colour, opacity=style.emphasised(0.7, 0.05))
    )
    points = (
        alt.Chart(frame)
        .mark_point(filled=True, size=40)
        .encode(
            x=x,
            y=y,
            color=colour,
            opacity=style.emphasised(0.9, 0.05),
            tooltip=[*style.TRIAL_TOOLTIP, alt.Tooltip("axis:N", title="of"), alt.Tooltip("value:N", title="value")],
        )
    )
    labels = alt.Chart(ticks).mark_text(align="left", dx=6, fontSize=10, opacity=0.75).encode(x=x, y=y, text="value:N")
    chart = alt.layer(lines, points, labels).add_params(style.focus())
    subtitle = "A line a trial; each axis from its lowest value below to its highest above, the loss at the right."
    return style.finished(chart, "What was searched, and what came of it", subtitle, 360)


def parallel_frame(study: "StudyTables") -> tuple["pd.DataFrame", "pd.DataFrame"]:
    """Points of lines (trial, layout, axis, place from 0 to 1, value, goodness) and the axes' labels."""
    import pandas as pd

    trials, loss = study.trials(), study.study.objective.metric
    ended = trials[trials[loss].notna() & np.isfinite(trials[loss].astype("float64"))]
    if ended.empty:
        return pd.DataFrame({"trial": [], "axis": []}), pd.DataFrame()
    goodness = 1 - (ended[loss].rank(pct=True, method="first") - 1 / max(1, len(ended)))
    points, ticks = [], []
    for name, title in _axes(study, ended, loss):
        values = ended[name]
        places, labels = _places(study, name, values)
        known = values.notna().to_numpy()
        points.append(
            pd.DataFrame(
                {
                    "trial": ended.trial[known],
                    "layout": ended.layout[known],
                    "axis": title,
                    "place": places[known],
                    "value": [_text(value) for value in values[known]],
                    "goodness": goodness[known],
                }
            )
        )
        ticks.append(pd.DataFrame({"axis": title, "place": list(labels), "value": list(labels.values())}))
    return pd.concat(points), pd.concat(ticks)


def _axes(study: "StudyTables", ended: "pd.DataFrame", loss: str) -> Iterator[tuple[str, str]]:
    searched = [name for name, domain in study.study.scalars().items() if not isinstance(domain, Fixed)]
    varied = [name for name in ["depth_start", "n_params", *searched] if name in ended and ended[name].nunique() > 1]
    acting = [name for name in varied if ended[name].notna().mean() >= _LEAST_SHARE][: _MOST_AXES - 1]
    titles = {"depth_start": "depth", "n_params": "params"}
    ends = [name.rpartition(".")[2] for name in acting]
    for name, end in zip(acting, ends, strict=True):
        yield name, titles.get(name, end if ends.count(end) == 1 else name)
    yield loss, loss


def _places(study: "StudyTables", name: str, values: "pd.Series[Any]") -> tuple[np.ndarray[Any, Any], dict[float, str]]:
    """Where each value stands on its axis, from 0 to 1, and what stands beside the axis at which places."""
    if values.dtype.kind not in "iuf" or str(values.dtype) == "boolean":
        words = sorted(str(value) for value in values.dropna().unique())
        at = {word: 0.5 if len(words) == 1 else place / (len(words) - 1) for place, word in enumerate(words)}
        return np.array([at.get(str(value), np.nan) for value in values]), {place: word for word, place in at.items()}
    numbers = values.astype("float64").to_numpy()
    known = numbers[~np.isnan(numbers)]
    low, high = float(known.min()), float(known.max())
    domain = study.study.scalars().get(name)
    is_log = low > 0 and ((isinstance(domain, Range) and domain.log) or name == "n_params")
    scale = np.log if is_log else np.asarray
    ends: Sequence[float] = [float(scale(low)), float(scale(high))]
    places = (scale(numbers) - ends[0]) / ((ends[1] - ends[0]) or 1.0)
    return places, {0.0: _text(low), 1.0: _text(high)} if high > low else {0.5: _text(low)}


def _text(value: Any) -> str:
    return amounts.measured(float(value)) if isinstance(value, int | float | np.number) else str(value)
