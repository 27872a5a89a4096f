"""What a trial would cost: counted parameters, FLOPs and memory; time from a few real steps of one of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from growlab.commands.speed.measure import time_run
from growlab.data import Corpus
from growlab.layout import parse
from growlab.model.cost import count_params, expected_steps, step_flops, training_memory
from growlab.report.terminal import as_it_is
from growlab.search import Proposal
from growlab.training.device import resolve_device, use_device
from growlab.worker.display import duration_words

_TIMED_STEPS = 3


@dataclass(frozen=True, kw_only=True)
class Estimate:
    number: int
    layout: str
    n_params: int
    step_flops: int
    total_flops: int  # to the end of the budget, without growth
    memory_bytes: int
    time_s: float
    measured: bool  # this layout was timed; the others are scaled by their FLOPs

    def as_mapping(self) -> dict[str, Any]:
        return asdict(self)


def estimate(proposals: Sequence[Proposal], corpus: Corpus) -> list[Estimate]:
    """One row per proposal. The smallest is trained for a few steps on this machine to learn its FLOP/s."""
    vocab_size = corpus.tokenizer.vocab_size
    costs = [step_flops(each.spec, vocab_size) for each in proposals]
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
                n_params=count_params(layout, vocab_size),
                step_flops=flops,
                total_flops=total,
                memory_bytes=training_memory(
                    layout,
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


def print_table(rows: Sequence[Estimate]) -> None:
    table = Table("", "layout", "parameters", "FLOPs a step", "FLOPs in all", "memory", "time")
    for row in rows:
        table.add_row(
            str(row.number),
            as_it_is(row.layout),
            f"{row.n_params:,}",
            f"{row.step_flops:.3g}",
            f"{row.total_flops:.3g}",
            f"{row.memory_bytes / 2**20:,.0f} MiB",
            ("" if row.measured else "≈ ") + duration_words(row.time_s),
        )
    console = Console()
    console = console if console.is_terminal else Console(width=200)
    console.print(table)
    device = resolve_device("auto")
    console.print(
        f"Time on {device}: one layout was timed for {_TIMED_STEPS} steps, the others (≈) are scaled by FLOPs. "
        "Evaluation and growth are not in it."
    )


def _seconds_per_step(proposal: Proposal, corpus: Corpus) -> float:
    """Of the fastest of a few real training steps; torch's generator is left as it was."""
    with torch.random.fork_rng(devices=[]):  # the model is built on the CPU
        return min(time_run(proposal.spec, corpus, use_device("auto"), n_steps=1, n_rounds=_TIMED_STEPS).step_s)
