"""What a trial would cost: counted parameters, FLOPs and memory; time from a few real steps of one of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, TextIO

import torch
from rich.table import Table

from growlab import amounts
from growlab.bench.measure import time_run
from growlab.data import Corpus
from growlab.delimited import delimited
from growlab.domains import Value
from growlab.kinds import KINDS
from growlab.layout import parse
from growlab.model.cost import Costs, count_params, expected_steps, step_flops, training_memory
from growlab.plan import final_layout
from growlab.report.terminal import console_for
from growlab.report.terminal_table import TableColumn, fitting, print_left_out, table_of
from growlab.search import Proposal, preview, sampler_options
from growlab.study import Study
from growlab.training.device import resolve_device, use_device

_PREVIEWED = 10  # trials, unless a number is given
_TIMED_STEPS = 3
_FIRST_TO_GO = ("a step", "memory", "in all")  # of a narrow terminal; then the searched values, the last first


@dataclass(frozen=True, kw_only=True)
class Estimate:
    number: int
    layout: str
    params: Mapping[str, Value]  # the searched scalars, by full name
    n_params: int
    step_flops: int
    total_flops: int  # to the end of the budget, without growth
    memory_bytes: int  # at the end of a growth plan whose growths are known
    time_s: float
    measured: bool  # this layout was timed; the others are scaled by their FLOPs

    def as_mapping(self) -> dict[str, Any]:
        return asdict(self)


def first_trials(study: Study, corpus: Corpus, n: int | None) -> list[Proposal]:
    """The n trials that a study would begin with; n is at most ten unless it is given.

    Of a study with sampler grid they are the first of its cells.
    """
    wanted = min(_PREVIEWED, study.n_trials) if n is None else n
    if (cells := n_cells(study)) is not None:
        wanted = min(wanted, study.n_trials, cells)
    return preview(study, KINDS, Costs(corpus.tokenizer.vocab_size), wanted)


def n_cells(study: Study) -> int | None:
    """The number of trials that are cells of a table, with all their repeats; None where none are."""
    cells = sampler_options(study).n_cells(study)
    return None if cells is None else int(cells * study.repeats)


def estimate(proposals: Sequence[Proposal], corpus: Corpus) -> list[Estimate]:
    """Estimate a row for each proposal. The smallest is trained for a few steps on this machine to learn its FLOP/s."""
    vocab_size = corpus.tokenizer.vocab_size
    costs = [step_flops(proposal.spec, vocab_size) for proposal in proposals]
    smallest = costs.index(min(costs))
    flops_per_s = costs[smallest] / _seconds_per_step(proposals[smallest], corpus)
    rows = []
    for number, (proposal, flops) in enumerate(zip(proposals, costs, strict=True)):
        layout, spec = parse(proposal.spec.layout), proposal.spec
        total = expected_steps(spec, vocab_size) * flops
        rows.append(
            Estimate(
                number=number,
                layout=proposal.layout,
                params=proposal.params,
                n_params=count_params(layout, vocab_size),
                step_flops=flops,
                total_flops=total,
                memory_bytes=training_memory(
                    final_layout(spec.growth, layout, KINDS),
                    vocab_size,
                    spec.train.seq_len,
                    spec.train.batch_size,
                    spec.growth.history_window_size,
                    dropout=spec.train.dropout,
                    recompute=spec.train.recompute,
                ),
                time_s=total / flops_per_s,
                measured=number == smallest,
            )
        )
    return rows


def seconds_of(proposals: Sequence[Proposal], corpus: Corpus) -> float:
    """What trainings would take on this machine one after the other, in seconds: the smallest of them is timed.

    By the FLOPs of their budgets; evaluation and growth are not in it.
    """
    [row] = estimate([min(proposals, key=lambda each: step_flops(each.spec, corpus.tokenizer.vocab_size))], corpus)
    per_flop = row.time_s / row.total_flops
    return per_flop * sum(proposal.spec.budget.amount for proposal in proposals)


def searched(rows: Sequence[Estimate]) -> list[str]:
    """Names of the values that were drawn for any of the trials: for some of them one may not act."""
    return list(dict.fromkeys(name for row in rows for name in row.params))


def print_tsv(rows: Sequence[Estimate], stream: TextIO) -> None:
    """Write a line of TSV for each trial, under names: plain numbers, all their digits."""
    names = searched(rows)
    numbers = ("n_params", "step_flops", "total_flops", "memory_bytes", "time_s", "measured")
    lines = (
        [row.number, row.layout, *map(row.params.get, names), *(getattr(row, name) for name in numbers)] for row in rows
    )
    stream.write(delimited(["number", "layout", *names, *numbers], lines, "\t"))


def print_table(rows: Sequence[Estimate], stream: TextIO) -> None:
    """Print a table with a column for each searched value that differs, as far as the terminal has room."""
    console = console_for(stream)
    columns = _columns(rows)
    table, hidden = fitting(
        lambda hidden: _table(rows, {name: cell for name, cell in columns.items() if name not in hidden}),
        [*_FIRST_TO_GO, *(name for name in reversed(columns) if "." in name)],
        console,
    )
    console.print(table)
    print_left_out(hidden, console, "--json")


def _columns(rows: Sequence[Estimate]) -> dict[str, Callable[[Estimate], str]]:
    """Cells of the columns by header, but for the number and the layout, which are always there."""
    varying = [name for name in searched(rows) if len({repr(row.params.get(name)) for row in rows}) > 1]
    return {
        **{name: partial(_value, name) for name in varying},
        "params": lambda row: amounts.count(row.n_params),
        "a step": lambda row: amounts.flops(row.step_flops),
        "in all": lambda row: amounts.flops(row.total_flops),
        "memory": lambda row: f"{row.memory_bytes / 2**20:,.0f} MiB",
        "time": lambda row: ("" if row.measured else "≈ ") + amounts.duration(row.time_s),
    }


def _value(name: str, row: Estimate) -> str:
    value = row.params.get(name, amounts.UNKNOWN)  # it does not act in this trial
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _table(rows: Sequence[Estimate], cells: Mapping[str, Callable[[Estimate], str]]) -> Table:
    columns = [
        TableColumn[Estimate]("", lambda row: str(row.number)),
        TableColumn[Estimate]("layout", lambda row: row.layout, "left", folds=True),
        *(TableColumn(_short(name, cells), cell) for name, cell in cells.items()),
    ]
    return table_of(rows, columns)


def _short(name: str, names: Iterable[str]) -> str:
    """The last part of a full name, with the part before it where another name ends alike."""
    *_, before, last = ["", *name.split(".")]
    alike = sum(other.rpartition(".")[2] == last for other in names)
    return f"{before}.{last}" if alike > 1 and before else last


def in_words(rows: Sequence[Estimate], study: Study) -> list[str]:
    """Lines that say which trials these are, what the whole study would spend, and what the times are worth."""
    n, n_trials, cells = len(rows), study.n_trials, n_cells(study)
    mean = [sum(getattr(row, name) for row in rows) / n for name in ("total_flops", "time_s")]
    flops, seconds = (amounts.flops(n_trials * mean[0]), amounts.duration(n_trials * mean[1]))
    about = "" if n == n_trials else f"about, as the mean of the {n} shown: "
    lines = [f"The study's {n_trials} trials, {about}{flops}, {seconds} one after the other"]
    if cells is not None:
        after = "; what comes after them is searched, and not shown" if n_trials > cells else ""
        lines.insert(0, f"{n} of the {cells} cells of sampler {study.sampler.name}{after}")
    lines += _limits_in_words(study, mean[0])
    device = resolve_device("auto")
    lines.append(
        f"Time on {device}: one layout was timed for {_TIMED_STEPS} steps, the others (≈) are scaled by FLOPs. "
        "Evaluation and growth are not in it."
    )
    return lines


def _limits_in_words(study: Study, mean_flops: float) -> list[str]:
    """What may end the study before it has all its trials; of FLOPs after about how many."""
    limits = [f"budget.study.{unit} {most:g}" for unit, most in study.limits.budget.items()]
    limits += [f"stop_when.{loss} {target:g}" for loss, target in study.limits.stop_when.items()]
    if not limits:
        return []
    flops = study.limits.budget.get("flops")
    about = "" if flops is None else f"; those FLOPs are spent after about {max(1, round(flops / mean_flops))} trials"
    return [f"It is over earlier at {' or '.join(limits)}; trials under way finish{about}"]


def _seconds_per_step(proposal: Proposal, corpus: Corpus) -> float:
    """Time the fastest of a few real training steps, in seconds; torch's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):  # the model is built on the CPU
        return min(time_run(proposal.spec, corpus, use_device("auto"), n_steps=1, n_rounds=_TIMED_STEPS).step_s)
