"""benchmarks/growth/recorded.py: what it records of a training, and what its report makes of that."""

import argparse
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def recorded() -> ModuleType:
    file = Path(__file__).parents[2] / "benchmarks" / "growth" / "recorded.py"
    spec = importlib.util.spec_from_file_location("recorded_runs", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(__import__("sys").modules, spec.name, module)  # where dataclasses look their module up
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def rows_of(recorded: ModuleType) -> Callable[..., Rows]:
    """Make a run of 60 checks, a snapshot at each, on a plateau from the 20th on, with this r̂² at all of them."""

    def make(name: str, drift: float) -> Rows:
        path = {"tau": 3.6, "kappa": 3.5, "diffusion_exponent": 0.5} | dict.fromkeys(recorded.DRIFTS, drift)
        return [
            {"run": name, "began": "20" if at >= 20 else "0", "step": str(100 * (at + 1)), "progress": "0.5"}
            | {"val_loss": "2.0"}
            | {f"n_{size}": str(min(at + 1, size)) for size in recorded.SIZES}
            | {f"{key}_{size}": f"{value:g}" for key, value in path.items() for size in recorded.SIZES}
            for at in range(60)
        ]

    return make


@pytest.mark.parametrize(("drift", "share"), [(0.0, "100%"), (1.0, "0%")])
def test_the_real_triggers_are_asked_at_every_check_of_a_plateau(
    recorded: ModuleType, rows_of: Callable[..., Rows], drift: float, share: str
) -> None:
    lines = list(recorded.report_lines(rows_of("plateau 1", drift)))

    name, _, size, n, _, _, fires, _, seed, *_ = lines[1].split()
    assert (name, size, n, fires, seed) == ("plateau", "8", str(60 - 20 - 8 + 1), share, "100%")
    assert lines[1].endswith("!") is (drift > 0)


def test_a_healthy_runs_checks_count_from_the_eighth_snapshot_and_patience_from_there(
    recorded: ModuleType, rows_of: Callable[..., Rows]
) -> None:
    line = list(recorded.report_lines(rows_of("healthy 1", 0.0)))[1]

    _, _, _, n, _, _, fires, stagnant, *_ = line.split()
    assert (int(n), fires, stagnant) == (53, "96%", "100%")  # 51 of 53: it wants three in a row


def test_a_gain_is_that_of_a_check_whatever_the_noise_and_unknown_before_twenty(recorded: ModuleType) -> None:
    losses = [2.0 - 0.002 * at + 0.01 * (-1) ** at for at in range(20)]

    assert recorded.gain(losses) == pytest.approx(0.002 / 2, rel=0.01)
    assert recorded.gain(losses[1:]) == float("inf")


def test_a_recorded_run_has_a_row_for_each_check_and_is_not_recorded_again(
    recorded: ModuleType, tmp_path: Path
) -> None:
    text, table = tmp_path / "corpus.txt", tmp_path / "out.tsv"
    text.write_text("to be or not to be, that is the question. " * 300)
    asked = argparse.Namespace(
        out=table, corpora=[text], runs=["plateau 2"], device="cpu", checks=1, most=9, interval=1
    )

    recorded.append(table, recorded.record("plateau 2", text, asked))
    rows = recorded.read(table)
    recorded.record_all(argparse.Namespace(**vars(asked), processes=1))

    assert [int(row["step"]) for row in rows] == list(range(1, 10))
    assert [int(row["n_8"]) for row in rows] == [1, 2, 3, 4, 5, 6, 7, 8, 8]
    assert [row["tau_8"] == "" for row in rows] == [True, True, *[False] * 7]
    assert rows[7]["lasting_drift_8"] == rows[7]["lasting_drift_31"]
    assert rows[8]["lasting_drift_8"] != rows[8]["lasting_drift_31"]
    assert recorded.read(table) == rows
