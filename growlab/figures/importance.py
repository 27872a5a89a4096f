"""What the study's model has learnt: the effect of each change with its interval, and what tells trials apart."""

from typing import TYPE_CHECKING, Any

import altair as alt

from growlab.figures import style

if TYPE_CHECKING:
    from growlab.search.model.explaining import Explanation

_MOST_EFFECTS, _MOST_RELEVANCES = 20, 12
_INTERVAL = 1.96  # standard deviations: 95 %
_SORTS = {"kind": "block kind", "place": "kind by place", "size": "size", "scalar": "scalar"}


def effects(explanation: "Explanation") -> Any:
    """The surest effects as points with 95 % intervals; None where nothing is known."""
    import pandas as pd

    shown = explanation.effects[:_MOST_EFFECTS]
    if not shown:
        return None
    frame = pd.DataFrame(
        {
            "change": [effect.change for effect in shown],
            "mean": [effect.mean for effect in shown],
            "low": [effect.mean - _INTERVAL * effect.sd for effect in shown],
            "high": [effect.mean + _INTERVAL * effect.sd for effect in shown],
            "sort": [_SORTS.get(effect.sort, effect.sort) for effect in shown],
            "trials": [effect.n_trials for effect in shown],
            "best": [effect.best or "–" for effect in shown],
        }
    )
    order = list(frame.sort_values("mean").change)
    sorts = [name for name in _SORTS.values() if name in set(frame["sort"])]
    y = alt.Y("change:N", sort=order, title=None, axis=alt.Axis(labelLimit=260, grid=False))
    colour = alt.Color("sort:N", scale=style.colours(sorts), legend=style.legend())
    tooltip = [
        alt.Tooltip("change:N"),
        alt.Tooltip("mean:Q", title="effect", format="+.4f"),
        alt.Tooltip("low:Q", title="from", format="+.4f"),
        alt.Tooltip("high:Q", title="to", format="+.4f"),
        alt.Tooltip("trials:Q", title="of best trials"),
        alt.Tooltip("best:N", title="best value"),
    ]
    title = f"change of {explanation.objective}"
    base = alt.Chart(frame).encode(y=y, color=colour, tooltip=tooltip)
    intervals = base.mark_rule(strokeWidth=2.5, opacity=0.55).encode(x=alt.X("low:Q", title=title), x2="high:Q")
    points = base.mark_point(filled=True, size=80, opacity=1).encode(x=alt.X("mean:Q", title=title))
    zero = alt.Chart(pd.DataFrame({"at": [0.0]})).mark_rule(strokeDash=[4, 3], color=style.QUIET).encode(x="at:Q")
    subtitle = (
        f"Expected of the best {explanation.n_best} trials when one thing changes, with 95 % intervals; left is "
        "better, and an interval that crosses 0 says nothing."
    )
    return style.finished(alt.layer(zero, intervals, points), "What helps", subtitle, 24 * len(shown) + 10)


def relevances(explanation: "Explanation") -> Any:
    """The parts of a configuration by their share of what tells trials apart; None where nothing is known."""
    import pandas as pd

    shown = explanation.relevances[:_MOST_RELEVANCES]
    if not shown:
        return None
    frame = pd.DataFrame({"name": [part.name for part in shown], "share": [part.share for part in shown]})
    base = alt.Chart(frame).encode(
        y=alt.Y("name:N", sort=list(frame.name), title=None, axis=alt.Axis(labelLimit=260, grid=False)),
        x=alt.X("share:Q", title="share", axis=alt.Axis(format="%", tickCount=5)),
        tooltip=[alt.Tooltip("name:N", title="part"), alt.Tooltip("share:Q", format=".1%")],
    )
    bars = base.mark_bar(color=style.BLUE, cornerRadiusEnd=2, height=alt.RelativeBandSize(0.65))
    numbers = base.mark_text(align="left", dx=5, fontSize=11).encode(text=alt.Text("share:Q", format=".0%"))
    subtitle = "Shares of the model's distance between trials: what it looks at when it predicts."
    return style.finished(alt.layer(bars, numbers), "What matters", subtitle, 24 * len(shown) + 10)
