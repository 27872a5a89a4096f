"""What a notebook shows of a study in a cell: a line, and its best trials."""

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from growlab import amounts
from growlab.escapes import visible
from growlab.study import Study

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 5


def summary_html(title: str, study: Study, trials: "pd.DataFrame") -> str:
    """HTML of the title and the best trials, which needs neither script nor style; everything in it is escaped."""
    best = trials[trials["rank"].notna()].sort_values("rank").head(MOST_ROWS)
    objective = study.objective.metric
    loss = objective if objective in trials else "val_loss"
    heads = ["rank", "trial", "layout", loss, "params", "compute"]
    rows = (
        [
            str(row["rank"]),
            str(row.trial),
            row.layout,
            amounts.loss(row[loss]),
            amounts.count(row.n_params),
            amounts.flops(row.flops),
        ]
        for _, row in best.iterrows()
    )
    table = (
        f"<table><thead>{_row('th', heads)}</thead><tbody>{''.join(_row('td', row) for row in rows)}</tbody></table>"
    )
    return (
        f"<div><strong>{escape(visible(title))}</strong>{table if len(best) else '<p>no trial completed yet</p>'}</div>"
    )


def _row(cell: str, texts: Iterable[str]) -> str:
    return "<tr>" + "".join(f"<{cell}>{escape(visible(text))}</{cell}>" for text in texts) + "</tr>"
