"""What all figures look like: colours that the colour-blind tell apart, sizes, and how a trial is pointed out.

Colours: Okabe and Ito 2008, "Color Universal Design"; cividis where a colour is a number.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import altair as alt

BLUE, ORANGE, GREEN, PINK, SKY, RED = "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"
CATEGORIES = (BLUE, ORANGE, GREEN, PINK, SKY, RED)
YELLOW, QUIET = "#F0E442", "#9AA0A8"
NUMBERS: Literal["cividis"] = "cividis"

HEIGHT = 320
FOCUS = "focus"  # the parameter of a chart of trials: numbers of those to point out; none: all are alike

SI = "datum.value == 0 ? '0' : format(datum.value, '~s')"  # 20G, and not 0G
FLOPS_AXIS = alt.Axis(labelExpr=SI, tickCount=6, labelOverlap=True)
TRIAL_TOOLTIP = (alt.Tooltip("trial:Q", title="trial"), alt.Tooltip("layout:N", title="layout"))


def focus() -> alt.Parameter:
    """The trials to point out, by number."""
    return alt.param(name=FOCUS, value=[])


def emphasised(shown: float, quiet: float) -> Any:
    """An opacity: `shown` while nothing is pointed out, then 1 of what is and `quiet` of the rest."""
    is_in = f"indexof({FOCUS}, datum.trial) >= 0"
    return alt.condition(f"{FOCUS}.length == 0 || {is_in}", alt.value(shown), alt.value(quiet))


def colours(names: Sequence[str], rest: Iterable[str] = ()) -> alt.Scale:
    """A colour for each name, the `rest` in grey; more names than colours take them again."""
    own = [CATEGORIES[at % len(CATEGORIES)] for at in range(len(names))]
    return alt.Scale(domain=[*names, *rest], range=[*own, *(QUIET for _ in rest)])


def legend(title: str | None = None, *, columns: int = 6, **options: Any) -> alt.Legend:
    """A legend above the chart, of so many columns; a page has fewer where the screen is narrow."""
    if "gradientLength" not in options:
        options["columns"] = columns
    return alt.Legend(title=title, orient="top", direction="horizontal", labelLimit=200, **options)


def finished(chart: Any, title: str, subtitle: str, height: float = HEIGHT) -> Any:
    """A chart as wide as where it stands, with its title and what is to be known to read it."""
    font = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
    return (
        chart.properties(
            width="container",
            height=height,
            title=alt.TitleParams(title, subtitle=[subtitle], anchor="start"),
            autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
        )
        .configure(font=font, background="transparent", padding=4)
        .configure_view(stroke=None)
        .configure_axis(
            grid=True, gridColor="#E3E5E8", domainColor="#B8BDC4", tickColor="#B8BDC4", labelFontSize=11,
            titleFontSize=12, titleFontWeight="normal", titlePadding=8, labelFlush=True,
        )
        .configure_legend(labelFontSize=12, titleFontSize=12, titleFontWeight="normal", symbolStrokeWidth=2.5)
        .configure_title(fontSize=15, subtitleFontSize=12, subtitleColor="#6B7280", offset=10)
    )  # fmt: skip
