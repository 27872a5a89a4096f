"""What a trial said at each step, as a table for a program: TSV, CSV, a notebook."""

from collections.abc import Iterable, Mapping
from typing import Any

from growlab.records import Metric


def step_columns(metrics: Iterable[Metric]) -> list[str]:
    """The names of the columns: step, then split.name of each metric, by the alphabet: train.flops, val.loss."""
    return ["step", *sorted({f"{metric.split}.{metric.name}" for metric in metrics})]


def step_rows(metrics: Iterable[Metric]) -> list[Mapping[str, Any]]:
    """A row for each step at which anything was said, by step; what was not said then is None."""
    metrics = list(metrics)
    columns = step_columns(metrics)
    rows: dict[int, dict[str, Any]] = {}
    for metric in sorted(metrics, key=lambda metric: metric.step):
        row = rows.setdefault(metric.step, dict.fromkeys(columns) | {"step": metric.step})
        row[f"{metric.split}.{metric.name}"] = metric.value
    return list(rows.values())
