"""A frame from rows and the columns that it shall have."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from growlab.frames.columns import TIME, FrameColumn

if TYPE_CHECKING:
    import pandas as pd


def frame_of(columns: Sequence[FrameColumn], rows: Iterable[Sequence[Any]]) -> "pd.DataFrame":
    """One row per tuple, whose values are in the order of the columns; times are seconds since 1970."""
    import pandas as pd

    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    return pd.DataFrame({column.name: series(column.dtype, of) for column, of in zip(columns, values, strict=True)})


def frame_of_mappings(columns: Sequence[FrameColumn], rows: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    """One row per mapping; what one does not name is missing."""
    return frame_of(columns, [[row.get(column.name) for column in columns] for row in rows])


def series(dtype: str, values: Sequence[Any]) -> "pd.Series[Any]":
    """The values in this type, None as what is missing there."""
    import pandas as pd

    if dtype == TIME:
        times: pd.Series[Any] = pd.to_datetime(pd.Series(list(values), dtype="float64"), unit="s", utc=True)
        return times.astype("datetime64[us, UTC]")
    return pd.Series(list(values), dtype=dtype)
