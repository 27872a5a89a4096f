"""What the trainings of a campaign say: a table for each question, with intervals and verdicts, and a picture.

    python benchmarks/growth/tables.py FOLDER TEXTS [--only early operators] [--picture loss.svg]
    python benchmarks/growth/tables.py FOLDER TEXTS --only operators --set repeats=8     # on the seeds that are there
    python benchmarks/growth/tables.py FOLDER TEXTS --only operators --set against=random-direction

Verdicts are growlab.statistics' and come when a question's last training has ended; --set changes what is asked of the
same trainings (fewer repeats, another arm to compare with, look=2). A picture is of the first question that has an
envelope, and needs matplotlib: validation loss over compute, mean and 95 % interval over seeds.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import plans
from campaign import ORDER, Campaign
from ledger import Ledger, Line
from question import Question

from growlab.ablate.cells import Cell, Outcome
from growlab.ablate.table import print_table
from growlab.ablate.verdicts import ArmResult, Result
from growlab.plugins import load_plugins
from growlab.report.terminal import console_for
from growlab.report.terminal_table import TableColumn, table_of
from growlab.statistics.confirm import confirm
from growlab.statistics.envelope import Cell as EnvelopeCell
from growlab.statistics.envelope import UngrownRun, frontier
from growlab.statistics.intervals import estimate
from growlab.statistics.verdict import Rule

DEPTH_IS_WORTH = 0.02  # nats, below which a setting says nothing of growth


def show(question: Question, ledger: Ledger) -> Result:
    """Print a question's tables; return its result."""
    result = question.result(ledger)
    print(f"\n== {question.name} ({question.ablation.name}): {result.n_ended} of {result.n_cells} trainings\n")
    if result.arms:
        print_table(result, sys.stdout)
        _print_how(question, ledger, result)
    for line in remarks(question, ledger, result):
        print(line)
    return result


def _print_how(question: Question, ledger: Ledger, result: Result) -> None:
    """How often each arm read its text, and when it grew, with what jump of val_loss: means over its repeats."""
    lines = lines_of(question, ledger)
    rows = [row for row in result.arms if row.budget == 1.0 and lines.get(row.arm)]
    columns = [
        TableColumn[ArmResult]("arm", lambda row: row.arm, "left"),
        TableColumn("epochs", lambda row: f"{epochs(question, lines[row.arm]):.2f}"),
        TableColumn("grew at step", lambda row: _mean_of_words(lines[row.arm], "growths", ".0f"), "left"),
        TableColumn("jump of val_loss", lambda row: _mean_of_words(lines[row.arm], "jumps", "+.3f"), "left"),
    ]
    console_for(sys.stdout).print(table_of(rows, columns))


def lines_of(question: Question, ledger: Ledger) -> dict[str, list[Line]]:
    """Arm to its repeats at the whole budget."""
    found: dict[str, list[Line]] = {}
    for cell in question.outcomes(ledger):
        if cell.stage == "repeat" and cell.budget == 1.0:
            found.setdefault(cell.arm, []).append(ledger[question.key(cell)])
    return found


def epochs(question: Question, lines: Sequence[Line]) -> float:
    return fmean(line.tokens for line in lines) / len(question.corpus.train)


def _mean_of_words(lines: Sequence[Line], name: str, form: str) -> str:
    """Means of the first numbers, of the second ones …; of repeats that grew as often as most."""
    rows = [[float(word) for word in getattr(line, name).split()] for line in lines]
    n = max(map(len, rows))
    whole = [row for row in rows if len(row) == n]
    grew = "" if len(whole) == len(rows) else f" ({len(whole)} of {len(rows)} seeds)"
    return " ".join(f"{fmean(column):{form}}" for column in zip(*whole, strict=True)) + grew


def remarks(question: Question, ledger: Ledger, result: Result) -> Iterator[str]:
    """What else is to be read off: whether depth is worth anything, and losses on the test split."""
    if question.name == "depth" and result.n_ended == result.n_cells:
        yield depth_remark(result)
    for arm, lines in lines_of(question, ledger).items():
        if tested := [float(line.test_loss) for line in lines if line.test_loss]:
            found = estimate(tested)
            width = "" if found.half_width is None else f" ± {found.half_width:.4f}"
            yield f"{arm}: test loss {found.mean:.4f}{width}, {found.n} seeds"


def depth_remark(result: Result) -> str:
    shallow, deep = (row for row in result.arms if row.arm not in result.ablation.arms)
    assert shallow.val_loss is not None
    assert deep.val_loss is not None
    gain = shallow.val_loss.mean - deep.val_loss.mean
    says = "so growth can be asked about" if gain >= DEPTH_IS_WORTH else "so nothing is said of growth here"
    return f"depth is worth {gain:.4f} nats after equal steps, {DEPTH_IS_WORTH} are asked for: {says}"


def show_winners(campaign: Campaign, question: Question) -> None:
    """Print what the searches claimed of their winners, and what fresh seeds say."""
    claimed = {name: loss for name, (_, loss) in plans.winners(campaign.folder).items()}
    losses: dict[str, dict[int, float]] = {name: {} for name in claimed}
    for cell, outcome in question.outcomes(campaign.ledger).items():
        losses[cell.arm][cell.repeat] = outcome.val_loss
    for side in plans.SIDES:
        own = {name: claimed[name] for name in claimed if name.startswith(f"{side} ")}
        for found in confirm(own, losses, searched=(), rule=Rule(margin=question.ablation.margin)):
            print(f"{found.rank}. {found.name} (claimed as number {found.claimed_rank}): {found.text}")


# ---- the picture -----------------------------------------------------------------------------------------------------


def draw(question: Question, ledger: Ledger, result: Result, path: Path) -> None:
    """Write val_loss over FLOPs: un-grown training depth by depth, the envelope, and each arm, with 95 % intervals."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "growlab"  # the same file for the same figures
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5.5), layout="constrained")
    ungrown = [row for row in result.arms if row.arm not in question.ablation.arms]
    for name, marker in zip(dict.fromkeys(row.arm for row in ungrown), "o^sPXv", strict=False):
        own = [row for row in ungrown if row.arm == name]
        _plot(axes, own, label=f"{name} blocks", marker=marker, linewidth=0.6, color="0.55")
    line = envelope_line(result.outcomes, question)
    axes.plot(*zip(*line, strict=True), color="black", linewidth=2.0, label="envelope", zorder=1)
    arms = [row for row in result.arms if row.arm in question.ablation.arms]
    for at, row in enumerate(arms):
        apart = 1 + 0.008 * (at - len(arms) / 2)  # side by side, as all have the same budget
        _plot(axes, [row], apart, label=row.arm, marker="D", linewidth=0, color=f"C{at % 10}")
    axes.set(xscale="log", xlabel="FLOPs", ylabel="validation loss, nats per token")
    axes.grid(which="both", linewidth=0.3)
    axes.legend(fontsize="small", ncols=2)
    figure.savefig(path, format="svg", metadata={"Date": None})


def _plot(axes: Any, rows: Sequence[ArmResult], apart: float = 1.0, **style: Any) -> None:
    rows = [row for row in rows if row.val_loss is not None]
    means = [row.val_loss.mean for row in rows]
    widths = [row.val_loss.half_width or 0.0 for row in rows]
    axes.errorbar([row.flops * apart for row in rows], means, yerr=widths, capsize=2, markersize=5, **style)


def envelope_line(outcomes: Mapping[Cell, Outcome], question: Question) -> list[tuple[float, float]]:
    """(FLOPs, val_loss), means over seeds, of the cells that growlab.statistics puts on the envelope."""
    runs: dict[int, list[UngrownRun]] = {}
    for cell, outcome in outcomes.items():
        if cell.stage == "repeat" and cell.arm not in question.ablation.arms:
            run = UngrownRun(
                cell=EnvelopeCell(cell.budget, outcome.depth), flops=outcome.flops, val_loss=outcome.val_loss
            )
            runs.setdefault(cell.repeat, []).append(run)
    points = []
    for on_it in frontier(runs):
        same = [run for of_seed in runs.values() for run in of_seed if run.cell == on_it]
        points.append((fmean(run.flops for run in same), fmean(run.val_loss for run in same)))
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--only", nargs="+", choices=ORDER, default=(), metavar="QUESTION")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--picture", type=Path, metavar="FILE.svg")
    asked = parser.parse_args()
    load_plugins(())
    campaign = Campaign(asked.folder, asked.texts, asked.only, changes=asked.changes)
    picture = asked.picture
    for name in campaign.names():
        question = None if name in plans.SEARCHES else campaign.question(name)
        if question is None or not question.outcomes(campaign.ledger):
            continue
        result = show(question, campaign.ledger)
        if question.name == "plans_fresh" and question.is_over(campaign.ledger):
            show_winners(campaign, question)
        if picture and question.ablation.envelope and question.name != "depth" and result.n_ended == result.n_cells:
            draw(question, campaign.ledger, result, picture)
            picture = None


if __name__ == "__main__":
    main()
