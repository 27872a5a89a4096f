"""The leaderboard as a table that a person sorts and filters; filter and picked trials act on all figures."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from growlab import amounts
from growlab.frames.columns import CELL, TRIALS
from growlab.page.figure import Charts
from growlab.page.markup import Html, element
from growlab.report.columns import OVERFITS, short

if TYPE_CHECKING:
    import pandas as pd

    from growlab.notebook import LoadedStudy

_MOST_SEARCHED = 14


@dataclass(frozen=True)
class _Column:
    name: str  # what the filter calls it
    title: str
    cell: Callable[[Any], str]  # of a value that is known
    number: bool = True
    own: bool = True  # not one of what was searched, which paper has no room for

    @property
    def classes(self) -> str | None:
        """What the style sheet goes by."""
        named = ["n"] * self.number + ["layout"] * (self.name == "layout") + ["searched"] * (not self.own)
        return " ".join(named) or None


_OWN = (
    _Column("rank", "rank", amounts.whole),
    _Column("trial", "trial", amounts.whole),
    _Column("layout", "layout", str, number=False),
    _Column("val_loss", "val_loss", amounts.loss),
    _Column("best_val_loss", "best", amounts.loss),
    _Column("bits_per_byte", "bits/byte", amounts.loss),
    _Column("accuracy", "accuracy", amounts.share),
    _Column("n_params", "params", amounts.count),
    _Column("depth_start", "depth", amounts.whole),
    _Column("depth_end", "→", amounts.whole),
    _Column("flops", "compute", amounts.flops),
    _Column("elapsed_s", "time", amounts.duration),
    _Column("state", "state", str, number=False),
)


def section(study: "LoadedStudy", charts: Charts) -> Html:
    trials = study.trials()
    trials = trials.sort_values(["rank", "rung", "val_loss", "trial"], ascending=[True, False, True, True])
    columns = [column for column in _columns(trials) if trials[column.name].notna().any()]
    controls = element(
        "div",
        element("label", "Filter", for_="filter"),
        element(
            "input", id="filter", type="search", autocomplete="off", spellcheck="false",
            placeholder="mamba val_loss<2 lr>0.001", aria_describedby="filter-help",
        ),
        element("output", f"{len(trials)} trials", id="n-shown", for_="filter"),
        element("button", "Clear", id="clear", type="button"),
        class_="controls",
    )  # fmt: skip
    help_text = element(
        "p",
        "Words that a row must hold, and conditions such as val_loss<2 or depth>=4. What is shown, or picked by the "
        "boxes at the left, is pointed out in all figures. A column's head sorts by it."
        + (" An orange edge: on the front." if study.front is not None else ""),
        id="filter-help",
        class_="help",
    )
    return Html(controls + help_text + _table(study, trials, columns))


def _columns(trials: "pd.DataFrame") -> Iterator[_Column]:
    yield from _OWN
    documented = {column.name for column in _OWN} | {column.name for column in TRIALS}
    others = [name for name in trials.columns if name not in documented]
    varied = [name for name in others if trials[name].nunique() > 1][:_MOST_SEARCHED]
    ends = [name.rpartition(".")[2] for name in varied]
    for name, end in zip(varied, ends, strict=True):
        title = end if ends.count(end) == 1 and name not in CELL else name
        yield _Column(name, title, short, number=trials[name].dtype.kind in "iuf", own=False)
    if trials.seed.nunique() > 1:
        yield _Column("seed", "seed", amounts.whole, own=False)


def _table(study: "LoadedStudy", trials: "pd.DataFrame", columns: list[_Column]) -> Html:
    head = [
        element("th", element("span", "Point out in figures", class_="unseen"), scope="col", class_="pick"),
        *(
            element(
                "th",
                element("button", column.title, type="button", title=column.name),
                scope="col",
                data_name=column.name,
                class_=column.classes,
                aria_sort="ascending" if column.name == "rank" else None,
            )
            for column in columns
        ),
    ]
    rows = [_row(study, row, columns) for row in trials.to_dict("records")]
    inner = element(
        "table",
        element("caption", f"Trials of {study.name}, the best first", class_="unseen"),
        element("thead", element("tr", *head)),
        element("tbody", *rows),
        id="trials",
    )
    return element("div", inner, class_="scroll board", tabindex="0", role="region", aria_label="Leaderboard")


def _row(study: "LoadedStudy", row: Mapping[Any, Any], columns: list[_Column]) -> Html:
    number = row["trial"]
    box = element("input", type="checkbox", value=number, aria_label=f"point out trial {number}")
    cells = [_cell(row, column) for column in columns]
    on_front = study.front is not None and number in study.front.trials
    best = row["rank"] == 1 if known(row["rank"]) else False
    return element(
        "tr",
        element("td", box, class_="pick"),
        *cells,
        data_trial=number,
        class_=" ".join(["best"] * best + ["front"] * on_front + [f"is-{row['state']}"]),
    )


def _cell(row: Mapping[Any, Any], column: _Column) -> Html:
    value = row[column.name]
    if not known(value):
        return element("td", "–", class_=f"none {column.classes or ''}".strip())
    shown = column.cell(value)
    if column.name == "val_loss" and known(row["overfits_since"]):
        shown = f"{OVERFITS} {shown}"
    sort = f"{float(value):.10g}" if column.number else None
    return element("td", shown, data_v=sort, class_=column.classes)


def known(value: Any) -> bool:
    """Whether a value of a frame is there: none of NA, NaN and NaT is equal to itself, or anything."""
    import pandas as pd

    return not pd.isna(value)
