"""The front of a study's trials for a program: who is on it, its hypervolume, and the values of every trial."""

from collections.abc import Sequence
from typing import Any

from growlab.preparation.fronts import Front
from growlab.report.columns import LeaderboardRow, columns_for_programs


def front_as_mapping(front: Front, rows: Sequence[LeaderboardRow]) -> dict[str, Any]:
    """The leaderboard's rows beside what is said of all of them; an objective has its key, direction and reference.

    The hypervolume is in the product of the objectives' units.
    """
    columns = columns_for_programs(rows)
    references = front.reference or (None,) * len(front.objectives)
    return {
        "objectives": [
            {"metric": objective.key, "direction": objective.direction, "reference": reference}
            for objective, reference in zip(front.objectives, references, strict=True)
        ],
        "front": list(front.trials),
        "hypervolume": front.hypervolume,
        "reference": list(front.reference),
        "infeasible": list(front.infeasible),
        "unknown": list(front.unknown),
        "trials": [
            {column.name: column.value(row) for column in columns}
            | {"values": {objective.key: row.metrics.get(objective.key) for objective in front.objectives}}
            for row in rows
        ],
    }
