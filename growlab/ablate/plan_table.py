"""What an ablation would train, before anything is spent."""

from collections.abc import Sequence
from typing import TextIO

from growlab import amounts
from growlab.delimited import delimited
from growlab.proposal import Proposal


def print_plan(planned: Sequence[Proposal], seconds: float, stream: TextIO) -> None:
    """Write arms × budgets × seeds with their FLOPs; on a terminal also the sum, and the `seconds` that it takes."""
    groups: dict[tuple[str, str, float], list[Proposal]] = {}
    for proposal in planned:
        params = proposal.params
        key = (str(params["stage"]), str(params["arm"]), float(params["budget"]))
        groups.setdefault(key, []).append(proposal)
    rows = [
        (stage, arm, f"{budget:g}", len(members), sum(member.spec.budget.amount for member in members))
        for (stage, arm, budget), members in groups.items()
    ]
    names = ["stage", "arm", "budget", "trainings", "flops"]
    if not stream.isatty():
        stream.write(delimited(names, rows, "\t"))
        return
    width = max(len(str(row[1])) for row in rows)
    for stage, arm, budget, n, flops in rows:
        stream.write(
            f"{stage:<7}  {arm:<{width}}  {budget:>4} of the budget  {n:>4} trainings  {amounts.flops(flops)}\n"
        )
    total = sum(proposal.spec.budget.amount for proposal in planned)
    stream.write(
        f"{len(planned)} trainings, {amounts.flops(total)}: {amounts.duration(seconds)} one after the other on "
        "this machine. Where the best value is the lowest or the highest listed, tuning goes on\n"
    )
