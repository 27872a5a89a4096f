"""The paths of weights as a heat map: τ, κ or H of each unit over a trial's steps."""

from typing import TYPE_CHECKING, Any

import altair as alt
import numpy as np

from growlab.figures import style

if TYPE_CHECKING:
    import pandas as pd

    from growlab.frames.study_tables import StudyTables

STATISTICS = {"tau": "τ", "kappa": "κ", "diffusion_exponent": "H"}
_MOST_TRIALS, _MOST_STEPS = 8, 48  # more cells than that a screen shows no better


def path_heatmap(study: "StudyTables") -> Any:
    """The means over each unit's tensors, of the best trials that watched any; None where none did.

    Two menus choose the trial and the statistic.
    """
    frame = paths_frame(study)
    if frame.empty:
        return None
    numbers = list(dict.fromkeys(frame.trial))
    best = study.trials().set_index("trial").val_loss
    labels = [
        f"trial {number}" + (f" ({best[number]:.3f})" if best[number] == best[number] else "") for number in numbers
    ]
    trial = alt.param(
        name="heat_trial",
        value=int(numbers[0]),
        bind=alt.binding_select(options=[int(n) for n in numbers], labels=labels, name="Trial "),
    )
    statistic = alt.param(
        name="statistic", value="τ", bind=alt.binding_select(options=list(STATISTICS.values()), name="Statistic ")
    )
    chart = (
        alt.Chart(frame)
        .transform_filter("datum.trial == heat_trial && datum.statistic == statistic")
        .mark_rect()
        .encode(
            x=alt.X("step:O", title="step", axis=alt.Axis(labelOverlap="greedy", labelAngle=0, grid=False)),
            y=alt.Y("unit:O", sort="descending", title="unit, from the input up", axis=alt.Axis(grid=False)),
            color=alt.Color(
                "value:Q",
                scale=alt.Scale(scheme=style.NUMBERS),
                legend=style.legend("value", gradientLength=180, format=".2f"),
            ),
            tooltip=[
                alt.Tooltip("unit:O"),
                alt.Tooltip("step:O"),
                alt.Tooltip("value:Q", format=".3f"),
                alt.Tooltip("reference:Q", title="of a random walk", format=".3f"),
            ],
        )
        .add_params(trial, statistic)
    )
    subtitle = "τ: path over displacement (1 straight); κ: bending; H: 1 straight, ½ a random walk. Means over a unit."
    return style.finished(chart, "Paths of the weights", subtitle, 240)


def paths_frame(study: "StudyTables") -> "pd.DataFrame":
    """trial, step, unit, statistic, value, reference: of the best trials, at some steps of each."""
    import pandas as pd

    points = study.trajectory()
    if points.empty:
        return pd.DataFrame()
    trials = study.trials()
    watched = trials[trials.trial.isin(points.trial)].sort_values(["rank", "val_loss"]).trial.head(_MOST_TRIALS)
    tables: list[pd.DataFrame] = []
    for number in watched:
        own = points[points.trial == number]
        steps = np.sort(own.step.unique().to_numpy(dtype=int))
        shown = steps[np.unique(np.linspace(0, len(steps) - 1, min(_MOST_STEPS, len(steps))).round().astype(int))]
        own = own[own.step.isin(shown)]
        n = own.n_increments.to_numpy(dtype=float)
        walks = {"tau": np.sqrt(n), "kappa": np.sqrt(np.maximum(n - 1, 0)), "diffusion_exponent": np.full(len(n), 0.5)}
        for column, symbol in STATISTICS.items():
            table = own[["trial", "step", "unit"]].assign(statistic=symbol, value=own[column], reference=walks[column])
            tables.append(table[np.isfinite(own[column].to_numpy())])
    return pd.concat(tables, ignore_index=True)
