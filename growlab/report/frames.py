"""The leaderboard as a table for notebooks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from growlab.report.columns import COLUMNS, LeaderboardRow, columns_for_programs

if TYPE_CHECKING:
    import pandas as pd


def frame_of(rows: Sequence[LeaderboardRow]) -> "pd.DataFrame":
    """One row per trial, in the same order, in the columns that programs get."""
    import pandas as pd

    dtypes = {column.name: column.dtype for column in COLUMNS}
    names = columns_for_programs(rows)
    return pd.DataFrame({name: pd.Series([getattr(row, name) for row in rows], dtype=dtypes[name]) for name in names})
