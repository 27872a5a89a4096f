"""Validation loss against compute: one curve a trial, the best ones in colour, growth as marks."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np

from growlab.figures import style

if TYPE_CHECKING:
    import pandas as pd

    from growlab.frames.study_tables import StudyTables

N_BEST = 5
_MOST_OF_TRIAL = 120  # points of a curve: more than a screen tells apart
_LEAST_OF_TRIAL = 8


def curves(study: "StudyTables", most_points: int) -> Any:
    """Curves of all trials with an evaluation, thinned to `most_points` together; None where there is none."""
    frame = curves_frame(study, most_points)
    if frame.empty:
        return None
    named = list(dict.fromkeys(frame.sort_values("place").series))
    best, rest = [name for name in named if name != "others"], [name for name in named if name == "others"]
    shown = alt.Chart(frame)
    y = alt.Y("val_loss:Q", title="val_loss, nats per token", scale=_loss_scale(frame))
    x = alt.X("flops:Q", title="training FLOPs", scale=alt.Scale(type="log", nice=False), axis=style.FLOPS_AXIS)
    colour = alt.Color("series:N", scale=style.colours(best, rest), legend=style.legend(columns=3))
    lines = shown.mark_line(clip=True, interpolate="linear").encode(
        x=x,
        y=y,
        color=colour,
        detail="trial:N",
        order=alt.Order("flops:Q"),
        opacity=style.emphasised(0.85, 0.08),
        strokeWidth=alt.condition("datum.series == 'others'", alt.value(1), alt.value(2.25)),
    )
    points = shown.mark_point(clip=True, filled=True, size=36).encode(
        x=x,
        y=y,
        color=colour,
        opacity=alt.value(0),
        tooltip=[
            *style.TRIAL_TOOLTIP,
            alt.Tooltip("flops:Q", title="FLOPs", format=".3s"),
            alt.Tooltip("val_loss:Q", title="val_loss", format=".4f"),
        ],
    )
    layers = [lines, points]
    if not (events := _growth_marks(study, frame)).empty:
        layers.append(
            alt.Chart(events)
            .mark_point(shape="triangle-up", filled=True, size=70, clip=True, stroke="white", strokeWidth=0.8)
            .encode(
                x=x,
                y=y,
                color=colour,
                opacity=style.emphasised(1, 0.08),
                tooltip=[
                    alt.Tooltip("trial:Q", title="trial"),
                    alt.Tooltip("growth:N", title="grew"),
                    alt.Tooltip("flops:Q", title="FLOPs", format=".3s"),
                ],
            )
        )
    chart = alt.layer(*layers).add_params(style.focus())
    subtitle = "One line a trial, the best in colour; ▲ a growth. Left and low is good."
    return style.finished(chart, "Loss against compute", subtitle, 380)


def curves_frame(study: "StudyTables", most_points: int) -> "pd.DataFrame":
    """Points of curves: trial, step, flops, val_loss, layout, the place of the trial and the name of its line."""
    trials = study.trials().set_index("trial")
    losses = study.metrics("loss", split="val")
    losses = losses[np.isfinite(losses.value.to_numpy())]
    losses = losses.assign(flops=flops_at(study, losses)).rename(columns={"value": "val_loss"})
    losses = losses[losses.flops > 0]
    numbers = losses.trial.unique()
    most = max(_LEAST_OF_TRIAL, min(_MOST_OF_TRIAL, most_points // max(1, len(numbers))))
    thinned = losses[_kept(losses.trial.to_numpy(), most)]
    order = trials.loc[numbers].sort_values(["rank", "val_loss"]).index
    place = {number: at for at, number in enumerate(order)}
    names = {number: _name(number, trials, place[number]) for number in numbers}
    found: pd.DataFrame = thinned.assign(
        layout=thinned.trial.map(trials.layout), place=thinned.trial.map(place), series=thinned.trial.map(names)
    )
    return found[["trial", "step", "flops", "val_loss", "layout", "place", "series"]].reset_index(drop=True)


def flops_at(study: "StudyTables", rows: "pd.DataFrame") -> np.ndarray[Any, Any]:
    """The FLOPs that a trial had spent at the step of each row, between those of its own metric; NaN where none is."""
    spent = study.metrics("flops", split="train")
    trials, steps, flops = spent.trial.to_numpy(int), spent.step.to_numpy(float), spent.value.to_numpy(float)
    at_trials, at_steps = rows.trial.to_numpy(int), rows.step.to_numpy(float)
    found = np.full(len(rows), math.nan)
    for trial in np.intersect1d(trials, at_trials):
        own, at = trials == trial, at_trials == trial
        found[at] = np.interp(at_steps[at], steps[own], flops[own])
    return found


def _name(number: int, trials: "pd.DataFrame", place: int) -> str:
    if place >= N_BEST:
        return "others"
    loss = trials.val_loss[number]
    return f"trial {number}" + ("" if math.isnan(loss) else f" ({loss:.3f})")


def _kept(trials: np.ndarray[Any, Any], most: int) -> np.ndarray[Any, Any]:
    """Which of these rows, in order of trial, stay where each trial keeps so many: the first and last among them."""
    keep = np.zeros(len(trials), dtype=bool)
    starts = [0, *(np.flatnonzero(trials[1:] != trials[:-1]) + 1), len(trials)]
    for start, end in pairwise(starts):
        if end > start:
            keep[np.unique(np.linspace(start, end - 1, min(most, end - start)).round().astype(int))] = True
    return keep


def _loss_scale(frame: "pd.DataFrame") -> alt.Scale:
    """From the lowest loss to where all but the first evaluations lie: what is above is cut off."""
    low, high = float(frame.val_loss.min()), float(frame.val_loss.quantile(0.95))
    margin = (high - low) * 0.04 or 0.05
    return alt.Scale(domain=[low - margin, high + margin], nice=False)


def _growth_marks(study: "StudyTables", frame: "pd.DataFrame") -> "pd.DataFrame":
    """Where the best trials grew, on their curves."""
    best = frame[frame.place < N_BEST]
    events = study.growth_events()
    events = events[events.trial.isin(best.trial)]
    events = events.drop_duplicates(["trial", "step"], keep="last")
    names = dict(zip(best.trial, best.series, strict=True))
    growth = events.depth_before.astype(str) + " → " + events.depth_after.astype(str) + " blocks, " + events.operator
    events = events.assign(flops=flops_at(study, events), series=events.trial.map(names), growth=growth)
    events = events.rename(columns={"val_loss_before": "val_loss"})
    return events[events.flops > 0][["trial", "flops", "val_loss", "series", "growth"]]
