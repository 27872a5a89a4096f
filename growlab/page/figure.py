"""A chart as an element of the page; its data are told apart, in columns, which take half the room of rows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from growlab.page.markup import Html, element

if TYPE_CHECKING:
    import pandas as pd

_DIGITS = 6  # of a number: more than a screen can show
_ASIDE = "growlab_aside"


@dataclass
class Charts:
    """What the page's script draws: a specification for each figure, and the tables that they name."""

    specs: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, Any] = field(default_factory=dict)

    def figure(self, name: str, chart: Any) -> Html:
        """The element in which the script will draw a chart of altair; its title and subtitle are text of the page."""
        spec = self._specification(name, chart)
        title = spec.pop("title")
        subtitle = " ".join(title.get("subtitle", []))
        self.specs[name] = spec
        caption = element("figcaption", element("h3", title["text"]), element("p", subtitle))
        place = element("div", class_="chart", data_chart=name, role="img", aria_label=f"{title['text']}. {subtitle}")
        rows = element("div", class_="scroll", tabindex="0")
        as_table = element("details", element("summary", "Table of this figure"), rows, data_table=name)
        return element("figure", caption, place, as_table, id=f"figure-{name}")

    def _specification(self, name: str, chart: Any) -> dict[str, Any]:
        """The chart as Vega-Lite has it, without its data, which go into the tables under names of this figure."""
        import altair as alt

        def aside(data: Any) -> dict[str, str]:
            for known, (frame, _) in kept.items():
                if frame is data:
                    return {"name": known}
            key = f"{name}{len(kept) or ''}"
            kept[key] = (data, columns_of(data))
            return {"name": key}

        kept: dict[str, tuple[Any, Any]] = {}
        alt.data_transformers.register(_ASIDE, aside)
        with alt.data_transformers.enable(_ASIDE):
            spec: dict[str, Any] = chart.to_dict()
        self.tables |= {key: columns for key, (_, columns) in kept.items()}
        return spec


def columns_of(frame: "pd.DataFrame") -> dict[str, Any]:
    """A frame's columns in the types of JSON; of words that come again each once: {of: words, at: places}."""
    return {str(name): _column(frame[name].tolist()) for name in frame.columns}


def _column(values: Sequence[Any]) -> list[Any] | Mapping[str, list[Any]]:
    plain = [_plain(value) for value in values]
    if any(isinstance(value, str) for value in plain):
        words = list(dict.fromkeys(plain))
        if len(words) < len(plain) / 2:
            at = {word: place for place, word in enumerate(words)}
            return {"of": words, "at": [at[value] for value in plain]}
    return plain


def _plain(value: Any) -> Any:
    """A value of JSON: what is not known or not finite is None."""
    if isinstance(value, bool | str) or value is None:
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(number):
        return None
    if number.is_integer() and abs(number) < 2**53:
        return int(number)
    return float(f"{number:.{_DIGITS}g}")
