"""The front of a study's trials for a program: who is on it, its hypervolume, and the values of every trial."""

from collections.abc import Sequence
from typing import Any

from growlab.preparation.fronts import Front
from growlab.report.columns import LeaderboardRow, columns_for_programs


def front_as_mapping(front: Front, rows: Sequence[LeaderboardRow]) -> dict[str, Any]:
    """The leaderboard's rows beside what is said of all of them."""
    columns = columns_for_programs(rows)
    alone = front_alone(front)
    return {
        "objectives": alone.pop("objectives"),
        "front": alone.pop("trials"),
        **alone,
        "trials": [{column.name: column.value(row) for column in columns} | values_of(row, front) for row in rows],
    }


def values_of(row: LeaderboardRow, front: Front) -> dict[str, dict[str, float | None]]:
    """What a trial came to in all objectives, by their keys, below the key `values`."""
    return {"values": {objective.key: row.metrics.get(objective.key) for objective in front.objectives}}


def front_alone(front: Front) -> dict[str, Any]:
    """The front without its trials' rows; an objective has its key, direction and reference.

    The hypervolume is in the product of the objectives' units.
    """
    references = front.reference or (None,) * len(front.objectives)
    return {
        "objectives": [
            {"metric": objective.key, "direction": objective.direction, "reference": reference}
            for objective, reference in zip(front.objectives, references, strict=True)
        ],
        "trials": list(front.trials),
        "hypervolume": front.hypervolume,
        "reference": list(front.reference),
        "infeasible": list(front.infeasible),
        "unknown": list(front.unknown),
    }
