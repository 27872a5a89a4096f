"""Trainings that are over: a line of TSV for each, appended as it ends, so that a campaign which was cut goes on.

A training is known by the digest of all that determines it: two questions that want the same one share its line. Text
is known by its hash, not by where it lies.
"""

import csv
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from growlab.ablate.cells import Outcome
from growlab.specs import TrialSpec


@dataclass(frozen=True, kw_only=True)
class Line:
    """One training. Empty texts are numbers that there are not."""

    key: str
    question: str  # that asked for it first
    stage: str
    arm: str
    budget: float  # a share of the question's
    repeat: int
    tuned: str  # 'train.lr=0.004', or ''
    seed: int
    state: str  # completed, or what became of it
    val_loss: str  # nats per token, at the end
    best_val_loss: str
    test_loss: str  # of the few that are read on the test split, once, after all choices
    flops: int
    tokens: int
    steps: int
    depth: int  # blocks at the end
    n_params: int
    growths: str  # steps at which it grew
    jumps: str  # val_loss after each growth less that before
    elapsed_s: float
    at_once: int  # trainings that shared its device
    device: str
    error: str

    def outcome(self) -> Outcome:
        completed = self.state == "completed" and self.val_loss
        return Outcome(
            val_loss=float(self.val_loss) if completed else float("inf"),
            flops=self.flops,
            tokens=self.tokens,
            elapsed_s=self.elapsed_s,
            depth=self.depth,
            n_params=self.n_params,
        )


_TYPES = {field.name: field.type for field in fields(Line)}


class Ledger:
    """The lines of a file by key; a last line that was cut off is not one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines = {line.key: line for line in _read(path)}
        _rewrite(path, list(self._lines.values()))

    def __contains__(self, key: str) -> bool:
        return key in self._lines

    def __getitem__(self, key: str) -> Line:
        return self._lines[key]

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines.values())

    def add(self, line: Line) -> None:
        self._lines[line.key] = line
        with self._path.open("a", newline="") as file:
            _writer(file).writerow(asdict(line))
            file.flush()
            os.fsync(file.fileno())


def key_of(spec: TrialSpec) -> str:
    """16 hexadecimal digits, equal for trainings that are the same."""
    written = asdict(replace(spec, data=replace(spec.data, path="")))
    return hashlib.sha256(json.dumps(written, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _read(path: Path) -> Iterator[Line]:
    if not path.exists():
        return
    with path.open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if None not in row and None not in row.values():
                yield _line(row)


def _line(row: Mapping[str, str]) -> Line:
    return Line(**{name: _TYPES[name](text) for name, text in row.items()})


def _rewrite(path: Path, lines: list[Line]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(".part")
    with whole.open("w", newline="") as file:
        writer = _writer(file)
        writer.writeheader()
        writer.writerows(asdict(line) for line in lines)
    whole.replace(path)


def _writer(file: object) -> "csv.DictWriter[str]":
    return csv.DictWriter(file, list(_TYPES), delimiter="\t", lineterminator="\n")
