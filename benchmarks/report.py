"""CPU time of `growlab report` over 10,000 trials with 5 million metric rows and 1 million trajectory rows; no torch.

    python benchmarks/report.py [--trials 10000] [--pairs 3] [--keep growlab.db]

The trials are made up, and written straight into the tables of a SQLite file: losses that fall as a power of the
tokens, a twentieth that overfits, some that diverge, fail, run or wait. Each report is a process of its own; its CPU
time, start of Python included, is printed as median, smallest and largest, and whether torch was loaded.
"""

import argparse
import json
import math
import os
import pty
import random
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from growlab.layout import parse
from growlab.plugins import load_plugins
from growlab.records import EndReason, PathStatistics, TrialState
from growlab.scalar import default_values, with_defaults
from growlab.specs import BudgetSpec, DataSpec, TrainSpec, TrialSpec
from growlab.storage import Store
from growlab.study.column import trial_spec_to_mapping
from growlab.study.growth_section import growth_with
from growlab.study.reading import study_from_mapping

STEPS, EVERY, LOGGED = 6200, 100, 62  # rows of a trial: 8 metrics at each of 62 steps, and 4 at its end
WINDOWS = 25  # observations of a trial, of four tensors and means each
TOKENS_PER_STEP, FLOPS_PER_STEP = 16_384, 5.1e9
UNITS = ("attn[n_heads=4] mlp[expand=4.0]", "conv mlp[expand=2.0]", "mamba mlp[expand=4.0]", "mamba2", "hebbian mlp")
STUDY = "large"
N_WORKERS = 48
NOW = 1.8e9  # seconds since 1970

REPORTS = {  # on a terminal of 120 columns, or into a pipe
    "terminal": ("terminal", []),
    "terminal, filtered and sorted": ("terminal", ["--where", "val_loss < 1.6 and has mamba", "--sort-by=-params"]),
    "tsv in a pipe": ("pipe", []),
    "json": ("pipe", ["--json"]),
    "one trial": ("terminal", ["--trial", "17"]),
}
LOADS_TORCH = "import sys; from growlab.__main__ import main\ntry: main()\nfinally: assert 'torch' not in sys.modules"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--pairs", type=int, default=3, help="runs of each report")
    parser.add_argument("--keep", type=Path, help="make the database here, or take the one that is here")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = asked.keep or Path(folder) / "growlab.db"
        if not path.exists():
            make_database(path, asked.trials)
        print(" ".join(["python", *sys.argv]))
        print(
            f"{asked.trials:,} trials, {_count(path, 'gl_metrics'):,} metric rows, "
            f"{_count(path, 'gl_trajectory'):,} trajectory rows, {path.stat().st_size / 2**20:,.0f} MiB"
        )
        for name, (into, words) in REPORTS.items():
            seconds = [cpu_s(path, into, words) for _ in range(asked.pairs)]
            low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
            print(f"{name:<32} {middle:5.2f} s of CPU ({low:.2f} to {high:.2f})")


def cpu_s(path: Path, into: str, words: list[str]) -> float:
    """CPU time of one report, of user and system together. Raises where it fails or loads torch."""
    command = [sys.executable, "-c", LOADS_TORCH, "report", STUDY, "--storage", f"sqlite:///{path}", *words]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    if into == "terminal":
        _on_terminal(command)
    else:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _on_terminal(command: list[str]) -> None:
    """Run a command whose stdout is a terminal, and read what it prints."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "120", "LINES": "50", "TERM": "xterm"}
    process = subprocess.Popen(command, stdout=theirs, env=environment)
    os.close(theirs)
    try:
        while os.read(ours, 1 << 16):
            pass
    except OSError:  # the end of a terminal on Linux
        pass
    finally:
        os.close(ours)
    if code := process.wait():
        raise SystemExit(f"{' '.join(command)} ended with {code}")


# ---- a study that nobody trained -------------------------------------------------------------------------------------


def make_database(path: Path, n_trials: int) -> None:
    """Write the study, its trials and their rows into a new file; all or nothing."""
    load_plugins([])
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    with Store.open(f"sqlite:///{unfinished}", create=True) as store:
        store.create_study(_study(n_trials))
    connection = sqlite3.connect(unfinished)
    with connection:
        _insert(connection, "gl_workers", (_worker(at) for at in range(N_WORKERS)))
        for number in range(n_trials):
            _add_trial(connection, number, n_trials)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    shutil.move(unfinished, path)


def _study(n_trials: int) -> Any:
    return study_from_mapping(
        {
            "name": STUDY,
            "n_trials": n_trials,
            "layouts": {
                "d_model": [128, 192, 256],
                "depth": [2, 12],
                "blocks": ["attn", "conv", "hebbian", "mamba", "mamba2", "mlp"],
            },
            "budget": {"steps": STEPS},
            "train": {"lr": "search", "weight_decay": "search", "dropout": "search"},
        }
    )


def _worker(at: int) -> dict[str, Any]:
    alive = at >= N_WORKERS // 2
    return {
        "id": at + 1,
        "name": f"node{at % 6}-gpu{at // 6}",
        "host": f"node{at % 6}",
        "pid": 1000 + at,
        "device": f"cuda:{at // 6}",
        "versions": "{}",
        "started_at": NOW - 90_000,
        "heartbeat_at": NOW - at,
        "ended_at": None if alive else NOW - 40_000,
    }


def _add_trial(connection: sqlite3.Connection, number: int, n_trials: int) -> None:
    draw = random.Random(number)
    trial_id, state = number + 1, _state(number, n_trials)
    spec, depth = _spec(draw)
    params = {
        "train.lr": spec.train.lr,
        "train.weight_decay": spec.train.weight_decay,
        "train.dropout": spec.train.dropout,
    }
    has_begun, is_over = state is not TrialState.QUEUED, state.is_final
    floor, exponent = 1.2 + draw.random() * 0.6, 0.25 + draw.random() * 0.1
    turns_at = 0.6 if draw.random() < 0.05 else 2.0  # share of the training from which it overfits
    n_logged = LOGGED if state is TrialState.COMPLETED else draw.randrange(2, LOGGED)
    rows = list(_metrics(floor, exponent, turns_at, n_logged)) if has_begun else []
    val = [row["value"] for row in rows if (row["split"], row["name"]) == ("val", "loss")]
    n_steps = n_logged * EVERY
    result = {
        "layout_end": spec.layout,
        "depth_end": depth + 2,
        "n_params": draw.randrange(10**6, 10**7),
        "val_loss": val[-1] if state is TrialState.COMPLETED else None,
        "best_val_loss": min(val, default=None),
        "bits_per_byte": val[-1] / math.log(2) if state is TrialState.COMPLETED else None,
        "flops": n_steps * FLOPS_PER_STEP,
        "tokens": n_steps * TOKENS_PER_STEP,
        "steps": n_steps,
        "elapsed_s": n_steps / 20,
    }
    trial = {
        "id": trial_id,
        "study_id": 1,
        "number": number,
        "state": state,
        "spec": json.dumps(trial_spec_to_mapping(spec)),
        "layout": spec.layout,
        "layout_hash": parse(spec.layout).hash,
        "params": json.dumps(params),
        "depth_start": depth,
        "epoch": int(has_begun),
        "strikes": 0,
        "lease_expires_at": NOW + 60 if state is TrialState.RUNNING else None,
        "created_at": NOW - 90_000 + number * 8,
        "sample": "ROMEO:\nWhat say you? " * 20 if state is TrialState.COMPLETED else "",
        "error": _error(draw) if state in (TrialState.FAILED, TrialState.DIVERGED) else "",
        "engine": "graph" if is_over else "",
        **(result if is_over else {}),
    }
    _insert(connection, "gl_trials", [trial])
    decision = {"trial_id": trial_id, "seed": number, "origin": "model", "mutation": "insert conv at 2"}
    seen = {"finished": "[]", "running": "[]", "predicted_mean": floor, "predicted_sd": 0.1, "predicted_runs": 0.99}
    _insert(connection, "gl_decisions", [decision | seen])
    if not has_begun:
        return
    owner = {"trial_id": trial_id, "epoch": 1}
    attempt = {
        "worker_id": N_WORKERS // 2 + number % (N_WORKERS // 2) + 1,
        "started_at": NOW - 90_000 + number * 8,
        "heartbeat_at": NOW - 89_000 + number * 8,
        "ended_at": NOW - 89_000 + number * 8 if is_over else None,
        "end_reason": EndReason.FINISHED if is_over else None,
        "note": "",
    }
    _insert(connection, "gl_attempts", [owner | attempt])
    _insert(connection, "gl_metrics", (owner | row for row in rows))
    _insert(connection, "gl_trajectory", (owner | row for row in _trajectory(draw)))
    _insert(connection, "gl_growth_events", (owner | row for row in _growths(draw, depth)))


def _state(number: int, n_trials: int) -> TrialState:
    if number >= n_trials - N_WORKERS // 2:
        return TrialState.RUNNING if number < n_trials - 4 else TrialState.QUEUED
    match number % 50:
        case 7:
            return TrialState.DIVERGED
        case 8:
            return TrialState.FAILED
    return TrialState.COMPLETED


def _error(draw: random.Random) -> str:
    return draw.choice(
        ["val_loss was nan at step 400", f"out of memory: asked {draw.randrange(90)} GiB of 80", "crashed 3 times"]
    )


def _spec(draw: random.Random) -> tuple[TrialSpec, int]:
    units = " ".join(draw.choice(UNITS) for _ in range(draw.randrange(1, 6)))
    layout = parse(f"d={draw.choice((128, 192, 256))} {units}")
    train = TrainSpec(**default_values(TrainSpec) | {"lr": 10 ** draw.uniform(-4, -2), "weight_decay": draw.random()})
    spec = TrialSpec(
        layout=str(layout),
        data=with_defaults(DataSpec, source="stdlib"),
        train=train,
        growth=growth_with(trigger={"at": {"shares": 0.1}}, operator="stack", max_depth=24),
        budget=BudgetSpec(unit="steps", amount=STEPS),
        curriculum=(),
        seed=draw.randrange(2**31),
    )
    return spec, layout.depth


def _metrics(floor: float, exponent: float, turns_at: float, n_logged: int) -> Iterator[dict[str, Any]]:
    for at in range(1, n_logged + 1):
        step, share = at * EVERY, at / LOGGED
        loss = floor + 3.0 * (step + 20) ** -exponent
        val = loss + 0.05 + max(0.0, share - turns_at)
        values = {
            ("train", "loss"): loss - max(0.0, share - turns_at),
            ("train", "lr"): 1e-3 * (1 - share),
            ("train", "grad_norm"): 0.5 + share,
            ("train", "tokens_per_s"): 330_000.0,
            ("train", "flops"): step * FLOPS_PER_STEP,
            ("train", "tokens"): float(step * TOKENS_PER_STEP),
            ("val", "loss"): val,
            ("val", "bits_per_byte"): val / math.log(2),
        }
        if at == n_logged:
            values |= {("train", f"load_entropy.{block}"): 0.9 for block in range(4)}
        for (split, name), value in values.items():
            yield {"step": step, "split": split, "name": name, "value": value, "state": "ok"}


def _trajectory(draw: random.Random) -> Iterator[dict[str, Any]]:
    statistics_of_path = [field.name for field in fields(PathStatistics)]
    for at in range(WINDOWS):
        for tensor in ("", "in.weight", "norm.weight", "out.weight"):
            values = {name: draw.random() + 1 for name in statistics_of_path}
            place = {"step": at * 2 * EVERY, "unit": 0, "tensor": tensor, "n_increments": 14}
            yield place | values | {"state": "ok", "not_finite": ""}


def _growths(draw: random.Random, depth: int) -> Iterator[dict[str, Any]]:
    for at in range(draw.randrange(0, 3)):
        yield {
            "step": 620 * (at + 1),
            "position": at,
            "unit": "attn mlp",
            "operator": "stack",
            "reason": "at",
            "tau": 1.4,
            "kappa": 0.9,
            "val_loss_before": 2.1,
            "val_loss_after": 2.2,
            "depth_before": depth + 2 * at,
            "depth_after": depth + 2 * at + 2,
            "n_params_after": 10**6,
            "not_finite": "",
        }


def _insert(connection: sqlite3.Connection, table: str, rows: Iterable[dict[str, Any]]) -> None:
    rows = list(rows)
    if not rows:
        return
    names = list(rows[0])
    places = ", ".join("?" * len(names))
    statement = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({places})"
    connection.executemany(statement, ([row[name] for name in names] for row in rows))


def _count(path: Path, table: str) -> int:
    connection = sqlite3.connect(path)
    n: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    connection.close()
    return n


if __name__ == "__main__":
    main()
