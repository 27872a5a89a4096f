"""The leaderboard as a table for notebooks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from growlab.report.columns import Column, LeaderboardRow, columns_for_programs

if TYPE_CHECKING:
    import pandas as pd


def frame_of(rows: Sequence[LeaderboardRow], columns: Sequence[Column] = ()) -> "pd.DataFrame":
    """One row per trial, in the same order, in these columns, or in those that programs get."""
    import pandas as pd

    return pd.DataFrame(
        {
            column.name: pd.Series([column.value(row) for row in rows], dtype=column.dtype(rows))
            for column in columns or columns_for_programs(rows)
        }
    )
