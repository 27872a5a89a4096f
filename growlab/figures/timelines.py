"""What happened when: growth and rungs over a trial's compute, and what each worker did over the day."""

from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np

from growlab.figures import style
from growlab.figures.curves import flops_at

if TYPE_CHECKING:
    import pandas as pd

    from growlab.frames.study_tables import StudyTables

_MOST_TRIALS = 60
_ENDS = {  # of attempts
    "finished": style.GREEN,
    "paused": style.SKY,
    "still running": style.ORANGE,
    "stopped": style.QUIET,
    "crashed": style.RED,
    "lost": style.PINK,
}


def growth_timeline(study: "StudyTables") -> Any:
    """Each growth of each trial over its compute, by operator; None where none grew."""
    events = study.growth_events()
    if events.empty:
        return None
    events = events.groupby(["trial", "step"], as_index=False).agg(
        operator=("operator", "first"),
        reason=("reason", "first"),
        tau=("tau", "first"),
        kappa=("kappa", "first"),
        before=("val_loss_before", "first"),
        after=("val_loss_after", "last"),
        depth_before=("depth_before", "first"),
        depth_after=("depth_after", "last"),
    )
    events = _by_place(study, events.assign(flops=flops_at(study, events)))
    operators = list(dict.fromkeys(events.operator))
    chart = (
        alt.Chart(events)
        .mark_point(filled=True, shape="triangle-up", size=110)
        .encode(
            x=alt.X("flops:Q", title="training FLOPs", axis=style.FLOPS_AXIS),
            y=_trial_axis(events),
            color=alt.Color("operator:N", scale=style.colours(operators), legend=style.legend()),
            opacity=style.emphasised(0.95, 0.12),
            tooltip=[
                *style.TRIAL_TOOLTIP,
                alt.Tooltip("step:Q"),
                alt.Tooltip("depth_before:Q", title="blocks before"),
                alt.Tooltip("depth_after:Q", title="blocks after"),
                alt.Tooltip("operator:N"),
                alt.Tooltip("reason:N", title="trigger"),
                alt.Tooltip("tau:Q", title="τ", format=".2f"),
                alt.Tooltip("kappa:Q", title="κ", format=".2f"),
                alt.Tooltip("before:Q", title="val_loss before", format=".4f"),
                alt.Tooltip("after:Q", title="val_loss after", format=".4f"),
            ],
        )
        .add_params(style.focus())
    )
    return style.finished(chart, "Growth", "A mark where units entered, the best trial above.", _height(events))


def rung_timeline(study: "StudyTables") -> Any:
    """What trials came to at their rungs; None of a study without any."""
    readings = study.readings()
    if readings.empty:
        return None
    state = study.trials().set_index("trial").state
    last = readings.groupby("trial").rung.transform("max")
    waits = (readings.rung == last) & (readings.trial.map(state) == "paused")
    readings = _by_place(study, readings.assign(then=np.where(waits, "waits", "went on")))
    base = alt.Chart(readings)
    x = alt.X(
        "flops:Q", title="training FLOPs", axis=style.FLOPS_AXIS, scale=alt.Scale(type="log", nice=False, padding=8)
    )
    y = _trial_axis(readings)
    lines = base.mark_line(strokeWidth=1.2, color=style.QUIET, opacity=0.7).encode(x=x, y=y, detail="trial:N")
    points = base.mark_point(filled=True, size=90).encode(
        x=x,
        y=y,
        color=alt.Color(
            "val_loss:Q",
            scale=alt.Scale(scheme=style.NUMBERS, reverse=True),
            legend=style.legend("val_loss", gradientLength=140, format=".2f"),
        ),
        shape=alt.Shape(
            "then:N",
            scale=alt.Scale(domain=["went on", "waits"], range=["circle", "square"]),
            legend=style.legend(),
        ),
        opacity=style.emphasised(1, 0.12),
        tooltip=[
            *style.TRIAL_TOOLTIP,
            alt.Tooltip("rung:Q"),
            alt.Tooltip("val_loss:Q", format=".4f"),
            alt.Tooltip("flops:Q", title="FLOPs", format=".3s"),
            alt.Tooltip("then:N", title="then"),
        ],
    )
    chart = alt.layer(lines, points).add_params(style.focus())
    return style.finished(
        chart, "Rungs", "Losses at which trials were compared, the best trial above.", _height(readings)
    )


def worker_timeline(study: "StudyTables") -> Any:
    """The attempts of each worker over time, by how they ended; None where none was made."""
    attempts = study.attempts()
    if attempts.empty:
        return None
    ends = attempts.end_reason.fillna("still running")
    attempts = attempts.assign(
        end=ends,
        until=attempts.ended_at.fillna(attempts.heartbeat_at),
        where=attempts.worker.str.slice(0, 40) + " · " + attempts.device,
    )
    attempts["from"] = attempts.started_at
    minutes = (attempts.until - attempts.started_at).dt.total_seconds() / 60
    frame = attempts.assign(minutes=minutes)[["trial", "where", "host", "from", "until", "end", "minutes", "note"]]
    frame["from"], frame["until"] = _utc(frame["from"]), _utc(frame["until"])
    known = [end for end in _ENDS if end in set(frame.end)]
    chart = (
        alt.Chart(frame)
        .mark_bar(stroke="white", strokeWidth=0.7, cornerRadius=2, height=alt.RelativeBandSize(0.7))
        .encode(
            x=alt.X(
                "from:T",
                title="time, UTC",
                scale=alt.Scale(type="utc"),
                axis=alt.Axis(format="%H:%M", tickCount=10, labelOverlap=True),
            ),
            x2="until:T",
            y=alt.Y("where:N", title=None, axis=alt.Axis(grid=False, labelLimit=150)),
            color=alt.Color(
                "end:N",
                scale=alt.Scale(domain=known, range=[_ENDS[end] for end in known]),
                legend=style.legend("attempt", symbolType="square"),
            ),
            opacity=style.emphasised(1, 0.15),
            tooltip=[
                alt.Tooltip("trial:Q"),
                alt.Tooltip("where:N", title="worker"),
                alt.Tooltip("host:N"),
                alt.Tooltip("end:N", title="ended as"),
                alt.Tooltip("minutes:Q", format=".2f"),
                alt.Tooltip("note:N"),
            ],
        )
        .add_params(style.focus())
    )
    height = 34 * frame["where"].nunique() + 20
    return style.finished(chart, "Workers", "A bar for each attempt at a trial, by how it ended.", height)


def _utc(times: "pd.Series[Any]") -> "pd.Series[Any]":
    """Milliseconds since 1970, which Vega reads as a time."""
    return times.astype("int64") // 1000


def _by_place(study: "StudyTables", frame: "pd.DataFrame") -> "pd.DataFrame":
    """Rows of the best trials only, with what stands at the axis."""
    trials = study.trials()
    order = trials[trials.trial.isin(frame.trial)].sort_values(["rank", "val_loss"]).head(_MOST_TRIALS)
    place = {number: at for at, number in enumerate(order.trial)}
    shown = frame[frame.trial.isin(order.trial)]
    layouts = dict(zip(order.trial, order.layout, strict=True))
    return shown.assign(place=shown.trial.map(place), label=shown.trial.astype(str), layout=shown.trial.map(layouts))


def _trial_axis(frame: "pd.DataFrame") -> alt.Y:
    best_first = list(frame.sort_values("place").label.unique())
    return alt.Y("label:N", sort=best_first, title="trial", axis=alt.Axis(grid=True))


def _height(frame: "pd.DataFrame") -> float:
    return max(110, 15 * frame.trial.nunique() + 20)
