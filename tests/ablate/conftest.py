"""An ablation over a small text, and outcomes of trainings that nobody ran: of models whose truth is known."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from textwrap import dedent

import pytest

from growlab.ablate.arms import all_arms
from growlab.ablate.cells import Cell, Outcome, cells_of
from growlab.ablate.file import Ablation, Arm, read_ablation

FILE = """
    name: doubling
    data: {path: corpus.txt, val_fraction: 0.1}
    train: {batch_size: 4, seq_len: 16}
    budget: {flops: 1e9}
    repeats: 4
    arms:
      grown: {layout: "d=16 (attn[n_heads=2] mlp)x2", growth: early-double}
      silent: {layout: "d=16 (attn[n_heads=2] mlp)x2", growth: {preset: early-double, entry_scale: 0.0}}
    tune: {train.lr: [2e-3, 4e-3, 8e-3]}
    envelope: {of: grown, budgets: [0.5, 1, 2]}
    primary: [grown]
"""

Truth = Callable[[Cell, float], float]  # a cell and its noise → val_loss


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write an ablation, some of its text replaced, beside a text to train on."""

    def write_file(*changes: tuple[str, str]) -> Path:
        (tmp_path / "corpus.txt").write_text("to be or not to be, that is the question. " * 40)
        text = dedent(FILE)
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / "ablation.yaml"
        path.write_text(text)
        return path

    return write_file


@pytest.fixture
def read(write: Callable[..., Path]) -> Callable[..., Ablation]:
    return lambda *changes: read_ablation(write(*changes))


@pytest.fixture
def ended() -> Callable[..., dict[Cell, Outcome]]:
    """End all trainings of an ablation, round after round, as a truth says."""

    def end(
        ablation: Ablation, truth: Truth, *, noise: float = 0.0, arms: Mapping[str, Arm] | None = None
    ) -> dict[Cell, Outcome]:
        arms = arms or all_arms(ablation)
        outcomes: dict[Cell, Outcome] = {}
        random = Random(0)
        while missing := [cell for cell in cells_of(ablation, arms, outcomes) if cell not in outcomes]:
            for cell in missing:
                outcomes[cell] = Outcome(
                    val_loss=truth(cell, random.gauss(0, noise)),
                    flops=round(cell.budget * ablation.flops),
                    tokens=1000,
                    elapsed_s=1.0,
                    depth=int(cell.arm.split()[-1]) if cell.arm.startswith("ungrown") else 8,
                    n_params=100,
                )
        return outcomes

    return end


@pytest.fixture
def loss() -> Callable[..., float]:
    """A loss that falls by 0.064 nats with each unit of log compute, as on a GPU, and rises beside the best lr."""

    def at(compute: float, *, lr: float = 4e-3, best_lr: float = 4e-3) -> float:
        return 1.1 - 0.064 * math.log(compute) + 0.01 * math.log(lr / best_lr) ** 2

    return at
