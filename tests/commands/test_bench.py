"""growlab bench measures real steps of tiny models; what follows from the measurements is arithmetic."""

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from growlab.bench.machine import describe_device, describe_versions
from growlab.kinds import KINDS, block_kinds
from growlab.plugins import load_plugins
from growlab.training.timing import START_STEPS

TINY = ("--d-model", "16", "--depth", "2", "--batch-size", "2", "--seq-len", "16", "--steps", "1", "--rounds", "3")
QUICK = ("--steps", "1", "--rounds", "2")
LAYOUT = "d=16 conv mlp"
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _kinds_as_before() -> Iterator[None]:
    load_plugins()
    before = dict(KINDS)
    yield
    KINDS.reset(before)


@pytest.fixture
def bench(growlab: Callable, small_roofline: None) -> Callable:
    return lambda *words: growlab("bench", *words)


# ---- what is printed ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_json_has_the_device_versions_roofline_settings_and_a_row_of_each_kind(bench: Callable) -> None:
    outcome = bench(*TINY, "--json", "--threads", "1")

    report = json.loads(outcome.out)
    assert outcome.code == 0
    assert list(report) == ["device", "versions", "roofline", "settings", "rows", "trials_per_hour"]
    assert report["device"] == describe_device(CPU)
    assert report["versions"] == describe_versions()
    assert {"growlab", "python", "torch"} <= set(report["versions"])
    assert report["roofline"]["precision"] == "fp32"
    assert report["roofline"]["flops_per_s"] > 0 < report["roofline"]["bytes_per_s"]
    assert report["settings"] == {
        "d_model": 16,
        "depth": 2,
        "batch_size": 2,
        "seq_len": 16,
        "steps": 1,
        "start_steps": START_STEPS,
        "rounds": 3,
    }
    assert [row["what"] for row in report["rows"]] == block_kinds()
    assert report["trials_per_hour"] is None


def test_the_figures_of_a_row_agree_with_one_another(bench: Callable) -> None:
    report = json.loads(bench("--layout", LAYOUT, *TINY[4:], "--json").out)

    (row,) = report["rows"]
    step_s, roofline = row["ms_per_step"] / 1000, report["roofline"]
    assert row["ms_per_step_min"] <= row["ms_per_step"] <= row["ms_per_step_max"]
    assert row["tokens_per_s"] == pytest.approx(2 * 16 / step_s)
    assert row["flops_per_s"] == pytest.approx(row["flops_per_step"] / step_s)
    floors = {
        "compute": row["flops_per_step"] / roofline["flops_per_s"],
        "memory": row["fewest_bytes_per_step"] / roofline["bytes_per_s"],
    }
    assert row["roofline_share"] == pytest.approx(max(floors.values()) / step_s)
    assert row["roofline_bound"] == max(floors, key=floors.__getitem__)
    assert (row["engine"], row["precision"], row["error"]) == ("eager", "fp32", "")
    assert row["start_s"] > 0
    assert row["trial_s"] is None


def test_a_pipe_gets_tsv_on_stdout_and_messages_on_stderr(bench: Callable) -> None:
    outcome = bench("--layout", LAYOUT, "--layout", "d=16 attn", *TINY[4:])

    rows = list(csv.DictReader(io.StringIO(outcome.out), delimiter="\t"))
    assert [row["layout"] for row in rows] == [LAYOUT, "d=16 attn"]
    assert all(float(row["ms_per_step"]) > 0 and int(row["n_params"]) > 0 for row in rows)
    assert {row["trial_s"] for row in rows} == {""}
    assert f"layout: {LAYOUT} …" in outcome.err


def test_a_study_tells_trials_per_hour_and_what_is_not_in_them(bench: Callable) -> None:
    outcome = bench("tiny.yaml", "--trials", "2", *QUICK, "--json")
    piped = bench("tiny.yaml", "--trials", "1", *QUICK)

    report = json.loads(outcome.out)
    assert [row["what"] for row in report["rows"]] == ["trial 0", "trial 1"]
    for row in report["rows"]:
        assert (row["n_steps"], row["n_evals"]) == (40, 4)
        told = row["start_s"] + (40 - START_STEPS) * row["ms_per_step"] / 1000 + 4 * row["eval_s"]
        assert row["trial_s"] == pytest.approx(told)
        assert row["trials_per_hour"] == pytest.approx(3600 / told)
    assert report["trials_per_hour"] == pytest.approx(2 * 3600 / sum(row["trial_s"] for row in report["rows"]))
    *_, note, last = piped.err.splitlines()
    assert "An estimate" in note
    assert "do not grow" in note
    assert last.startswith("about ")
    assert " trials per hour: " in last


def test_a_study_has_no_more_rows_than_trials_and_heeds_set(bench: Callable) -> None:
    words = ("--set", "n_trials=1", "--set", "train.batch_size=3", "--set", "budget={tokens: 480}")

    (row,) = json.loads(bench("tiny.yaml", *words, *QUICK, "--json").out)["rows"]

    assert (row["batch_size"], row["seq_len"], row["n_steps"], row["n_evals"]) == (3, 16, 10, 1)


@pytest.mark.slow
def test_a_terminal_gets_tables_that_fit_into_it(home: Path) -> None:
    out = on_a_terminal(home, 80, "bench", "tiny.yaml", "--trials", "1", *QUICK)

    lines = out.splitlines()
    assert any("ms/step" in line and "roofline" in line for line in lines)
    assert any("trials/h" in line for line in lines)
    assert max(map(len, lines)) <= 80
    assert "no room for start" in out
    assert lines[-1].startswith("about ")


def on_a_terminal(folder: Path, width: int, *words: str) -> str:
    """What a command prints on a terminal of that width, without colours."""
    ours, theirs = pty.openpty()
    env = os.environ | {"COLUMNS": str(width), "NO_COLOR": "1", "TERM": "dumb"}
    command = [sys.executable, "-m", "growlab", *words]
    with subprocess.Popen(command, cwd=folder, env=env, stdout=theirs, stderr=subprocess.DEVNULL) as process:
        os.close(theirs)
        chunks = list(iter(lambda: _chunk(ours), b""))
    os.close(ours)
    assert process.returncode == 0
    return b"".join(chunks).decode().replace("\r\n", "\n")


def _chunk(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux says so where others say b"": the other side is closed
        return b""


# ---- what goes wrong ---------------------------------------------------------------------------------------------


def test_an_engine_that_cannot_be_is_refused_before_anything_is_measured(
    bench: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROWLAB_ENGINE", "graph")

    outcome = bench("--layout", LAYOUT, *QUICK)

    assert outcome.code == 2
    assert "GROWLAB_ENGINE=graph needs a CUDA device" in outcome.err
    assert "measuring" not in outcome.err


def test_a_batch_that_no_machine_holds_is_exit_code_1_after_the_rows(bench: Callable) -> None:
    outcome = bench("--layout", LAYOUT, "--batch-size", str(10**13), *QUICK)

    (row,) = csv.DictReader(io.StringIO(outcome.out), delimiter="\t")
    assert outcome.code == 1
    assert row["error"] == "out of memory"
    assert outcome.err.endswith("error: nothing could be measured: cpu has too little memory for it\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nosuch",), "no study file 'nosuch'; shipped studies: "),
        (("tiny.yaml", "--batch-size", "8"), "--batch-size and a STUDY: a study has layouts and sizes of its own"),
        (("tiny.yaml", "--layout", LAYOUT), "--layout and a STUDY: "),
        (("tiny.yaml", "--set", "train.lr=x"), "train.lr"),
        (("--trials", "2"), "--trials needs a STUDY, such as quickstart"),
        (("--set", "train.lr=1"), "--set needs a STUDY, such as quickstart"),
        (("--layout", LAYOUT, "--depth", "2"), "--depth and --layout: a layout has a width and blocks of its own"),
        (("--layout", "d=16 atn"), "unknown block kind 'atn'; known: "),
        (("--layout", "conv mlp"), "has no width"),
        (("--depth", "3"), "--depth must be even, as blocks are measured in pairs, got 3"),
        (("--d-model", "10"), "attn[n_heads=4] does not fit d=10"),
        (("--device", "cuda:77"), "device 'cuda:77': "),
        (("--plugin", "nosuch.py"), "no plugin file 'nosuch.py'"),
        (("--rounds", "0"), "Invalid value for '--rounds'"),
        (("--seq-len", "99999999"), "train.seq_len 99999999 needs at least"),
    ],
)
def test_bad_input_is_named_and_nothing_is_measured(bench: Callable, words: tuple[str, ...], said: str) -> None:
    outcome = bench(*words)

    assert outcome.code == (1 if "--seq-len" in words else 2)  # of a text that is too short, as elsewhere
    assert said in " ".join(outcome.err.split())
    assert "Traceback" not in outcome.err
    assert "measuring" not in outcome.err
    assert outcome.out == ""


@pytest.mark.slow
def test_ctrl_c_leaves_with_130_and_no_traceback(spawn: Callable[..., subprocess.Popen[str]]) -> None:
    process = spawn("bench", "tiny.yaml", "--steps", "100000")
    assert process.stderr is not None
    assert any("trial 0" in line for line in process.stderr)
    time.sleep(0.2)

    process.send_signal(signal.SIGINT)

    assert process.wait(timeout=180) == 130
    assert "Traceback" not in process.stderr.read()
