import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from growlab import api
from growlab.commands.watching import show_standing
from growlab.records import EndReason, TrialState
from growlab.running.outcome import read_standing
from growlab.storage import Store

STORAGE = "sqlite:///growlab.db"
LONG = ("--set", "n_trials=2", "--set", "budget.steps=400", "--set", "train.eval_every=20")


def test_two_workers_run_a_study_to_a_leaderboard(ran: Any, growlab_there: Callable) -> None:
    rows = json.loads(growlab_there("report", "tiny", "--json").out)["trials"]

    assert ran.outcome.code == 0, ran.outcome.err
    assert ran.outcome.out == ""  # data on stdout only
    assert [row["rank"] for row in rows] == [1, 2, 3]
    assert [row["val_loss"] for row in rows] == sorted(row["val_loss"] for row in rows)
    assert all(row["depth_end"] > row["depth_start"] for row in rows)
    assert {row["engine"] for row in rows} == {"eager"}


def test_trials_are_grouped_by_any_of_their_values(growlab_there: Callable) -> None:
    piped = growlab_there("report", "tiny", "--group-by", "trigger", "--against", "stagnation")
    by_seed = json.loads(growlab_there("report", "tiny", "--group-by", "seed", "--json").out)["groups"]
    frame = api.groups("tiny", "growth.trigger")

    header, row = (line.split("\t") for line in piped.out.splitlines())
    assert (row[header.index("value")], row[header.index("n")]) == ("stagnation", "3")
    assert [group["n"] for group in by_seed] == [1, 1, 1]
    assert float(row[header.index("mean")]) == pytest.approx(frame["mean"][0])
    assert "verdict" not in frame
    assert growlab_there("report", "tiny", "--group-by", "tirgger").code == 2


def test_the_best_trial_is_confirmed_on_fresh_seeds(ran: Any, growlab_there: Callable) -> None:
    confirmation = api.confirm("tiny", top=1, seeds=2, threads=1, tell=lambda _: None)
    [best] = [row for row in json.loads(growlab_there("report", "tiny", "--json").out)["trials"] if row["rank"] == 1]

    [row] = confirmation.rows
    again = json.loads(growlab_there("report", "tiny-confirm", "--json").out)["trials"]
    assert (row.trial, row.layout, row.claimed) == (best["trial"], best["layout"], best["val_loss"])
    assert row.mean == pytest.approx(sum(trial["val_loss"] for trial in again) / 2)
    assert len({trial["val_loss"] for trial in again}) == 2


def test_the_test_split_is_read_once_and_then_shown(growlab_there: Callable) -> None:
    first = growlab_there("test", "tiny", "--trial", "1", "--device", "cpu")
    again = growlab_there("test", "tiny", "--trial", "1", "--json")
    page = growlab_there("report", "tiny", "--trial", "1", "--format", "table").out

    facts = json.loads(again.out)
    assert first.code == 0, first.err
    assert first.out == f"test_loss\t{facts['loss']!r}\ntest_bits_per_byte\t{facts['bits_per_byte']!r}\n"
    assert "the test split is read for trial 1 of tiny, val_loss" in first.err
    assert "the test split was read for trial 1 of tiny" in again.err
    assert re.search(
        rf"test split +{facts['loss']:.4f} nats per token, {facts['bits_per_byte']:.4f} bits per byte", page
    )


def test_a_study_that_ran_has_a_pace(growlab_there: Callable) -> None:
    [tiny] = [each for each in json.loads(growlab_there("study", "list", "--json").out) if each["name"] == "tiny"]
    title, state, *_ = growlab_there("report", "tiny", "--format", "table").out.splitlines()

    assert tiny["trials_per_hour"] > 0
    assert 1 <= tiny["trials_at_once"] <= 2
    assert title == "tiny: 3 of 3 trials ended (3 completed), by val_loss, lower is better"
    assert re.search(r"^done · spent \S+ \S?FLOPs and .* of work in .* · \S+ trials/hour", state)


def test_the_best_model_is_exported_and_writes(ran: Any, growlab_there: Callable) -> None:
    exported = growlab_there("export", "tiny", "-o", "best")
    written = growlab_there("generate", "best", "--prompt", "the ", "--length", "20", "--temperature", "0")

    assert exported.code == 0, exported.err
    files = {path.name for path in (ran.home / "best").iterdir()}
    assert files == {"config.yaml", "model.safetensors", "tokenizer.json", "metrics.csv", "README.md"}
    assert written.out.startswith("the ")
    assert len(written.out) == len("the ") + 20 + len("\n")


def test_a_prompt_of_unknown_characters_is_refused_and_not_echoed(growlab_there: Callable) -> None:
    growlab_there("export", "tiny", "-o", "another")

    outcome = growlab_there("generate", "another", "--prompt", "ÄÖ")

    assert outcome.code == 1
    assert outcome.out == ""
    assert "'Ä'" in outcome.err


def test_the_best_configs_alone_go_to_stdout(growlab_there: Callable) -> None:
    configs = json.loads(growlab_there("export", "tiny", "--format", "json", "--top", "2").out)

    assert [config["rank"] for config in configs] == [1, 2]


def test_an_exported_config_trains_again_to_the_same_bits(ran: Any, growlab_there: Callable) -> None:
    growlab_there("export", "tiny", "-o", "original")

    again = growlab_there("train", "original/config.yaml", "-o", "copy", "--threads", str(os.cpu_count() // 2 or 1))
    refused = growlab_there("train", "original")

    assert again.code == 0, again.err
    weights = [(ran.home / each / "model.safetensors").read_bytes() for each in ("original", "copy")]
    assert weights[0] == weights[1]
    assert refused.code == 2
    assert "exists; go on with --resume, or choose another --name" in refused.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--budget", "0x"), "--budget must be a factor such as 10x"),
        (("--budget", "many"), "got 'many'"),
        (("--set", "train.lrr=1"), "trial.train.lrr: unknown key. Did you mean 'lr'?"),
    ],
)
def test_a_mistake_in_training_again_is_said(growlab_there: Callable, words: tuple[str, ...], message: str) -> None:
    growlab_there("export", "tiny", "-o", "given")

    outcome = growlab_there("train", "given", *words)

    assert outcome.code == 2
    assert message in outcome.err


def test_a_trials_page_shows_its_growth(growlab_there: Callable) -> None:
    page = growlab_there("report", "tiny", "--trial", "0", "--format", "table").out

    assert "stagnation" in page
    assert "aiether" in page


def test_a_finished_study_is_gone_on_with_and_has_nothing_to_do(growlab_there: Callable) -> None:
    again = growlab_there("worker", "tiny")
    changed = growlab_there("study", "run", "tiny.yaml")

    assert (again.code, again.out) == (0, "")
    assert "0 trial(s) finished by this worker" in again.err
    assert changed.code == 2
    assert "is not the one in tiny.yaml" in changed.err


def test_preview_draws_what_the_study_runs(growlab_there: Callable) -> None:
    previewed = json.loads(growlab_there("study", "preview", "tiny.yaml", "-n", "1", "--json").out)

    page = json.loads(growlab_there("report", "tiny", "--trial", "0", "--json").out)
    assert page["layout"] == previewed[0]["layout"]


@pytest.mark.slow
def test_a_killed_workers_trial_is_finished_by_another_from_its_checkpoint(
    growlab: Callable, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    growlab("study", "create", "tiny.yaml", "--set", "n_trials=1", "--set", "budget.steps=1200", *LONG[4:])
    victim = spawn("worker", "tiny", "--lease", "2", "--threads", "1", "--checkpoint-every", "0.2")
    store = Store.open(STORAGE)
    study_id = store.study("tiny").id
    checkpoint = _wait_for(lambda: _checkpoint_step(store, study_id), victim)
    victim.send_signal(signal.SIGKILL)
    victim.wait()

    rescuer = spawn("worker", "tiny", "--lease", "2", "--threads", "1")
    said = rescuer.communicate(timeout=180)

    (trial,) = store.trials(study_id)
    attempts = store.attempts(trial.id)
    assert rescuer.returncode == 0, said
    assert trial.state is TrialState.COMPLETED
    assert trial.steps == 1200
    assert [each.end_reason for each in attempts] == [EndReason.LOST, EndReason.FINISHED]
    (resumed,) = re.findall(r"resumed from step (\d+)", said[1])
    assert int(resumed) >= checkpoint > 0
    steps = [metric.step for metric in store.metrics(trial.id, "val", "loss")]
    assert steps == sorted(set(steps)) == list(range(20, 1201, 20))


def test_sigterm_saves_the_trial_and_puts_it_back(
    growlab: Callable, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    growlab("study", "create", "tiny.yaml", "--set", "n_trials=1", "--set", "budget.steps=100000", *LONG[4:])
    worker = spawn("worker", "tiny", "--threads", "1", "--checkpoint-every", "0.2")
    store = Store.open(STORAGE)
    study_id = store.study("tiny").id
    _wait_for(lambda: _checkpoint_step(store, study_id), worker)

    worker.send_signal(signal.SIGTERM)
    said = worker.communicate(timeout=180)

    (trial,) = store.trials(study_id)
    assert worker.returncode == 0, said
    assert trial.state is TrialState.QUEUED
    assert trial.strikes == 0
    assert "back in the queue" in said[1]
    assert "Traceback" not in said[1]


@pytest.mark.slow
def test_sigterm_to_a_study_run_stops_its_workers(
    growlab: Callable, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    running = spawn("study", "run", "tiny.yaml", "--set", "n_trials=1", "--set", "budget.steps=100000")
    workers = _wait_for(lambda: _children(running.pid), running)
    _wait_for(lambda: any(_children(pid) for pid in workers), running)

    running.send_signal(signal.SIGTERM)
    said = running.communicate(timeout=180)

    assert running.returncode == 130, said
    assert "go on with: growlab study run tiny" in said[1]
    assert not any(_alive(pid) for pid in workers)


@pytest.mark.slow
def test_a_worker_that_sees_other_artifacts_refuses_and_costs_no_progress(
    growlab: Callable, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    growlab("study", "create", "tiny.yaml", "--set", "n_trials=1", "--set", "budget.steps=100000")
    first = spawn("worker", "tiny", "--threads", "1", "--checkpoint-every", "0.2")
    store = Store.open(STORAGE)
    study_id = store.study("tiny").id
    _wait_for(lambda: _checkpoint_step(store, study_id), first)
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=180)
    reached = _checkpoint_step(store, study_id)

    lost = growlab("worker", "tiny", "--artifacts", "typo")
    unwritable = growlab("worker", "tiny", "--artifacts", "/proc/typo")

    assert (lost.code, unwritable.code) == (1, 1)
    assert "does this worker see the artifacts" in lost.err
    assert "cannot write into the artifact folder /proc/typo" in unwritable.err
    assert _checkpoint_step(store, study_id) == reached > 0


def test_a_worker_with_another_corpus_refuses(growlab: Callable, home: Path) -> None:
    growlab("study", "create", "tiny.yaml", "--set", "n_trials=1")
    with (home / "corpus.txt").open("a") as file:
        file.write("one line more\n")

    outcome = growlab("worker", "tiny")

    assert outcome.code == 1
    assert "corpus.txt" in outcome.err
    assert "Traceback" not in outcome.err
    assert json.loads(growlab("report", "tiny", "--json").out)["trials"] == []


@pytest.mark.slow
def test_the_trainer_leaves_with_a_killed_supervisor(
    growlab: Callable, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    growlab("study", "create", "tiny.yaml", "--set", "n_trials=1", "--set", "budget.steps=100000")
    worker = spawn("worker", "tiny", "--threads", "1", "--checkpoint-every", "0.2")
    store = Store.open(STORAGE)
    study_id = store.study("tiny").id
    _wait_for(lambda: _checkpoint_step(store, study_id), worker)
    children = _children(worker.pid)

    worker.kill()
    worker.wait()

    assert children
    _wait_for(lambda: not any(_alive(pid) for pid in children), None)


def _wait_for(what: Callable[[], Any], process: subprocess.Popen[str] | None, seconds: float = 180) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def _checkpoint_step(store: Store, study_id: int) -> int:
    steps = [
        artifact.step
        for trial in store.trials(study_id)
        for artifact in store.artifacts(trial.id)
        if artifact.kind == "checkpoint"
    ]
    return max(steps, default=0)


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(each) for each in path.read_text().split()] if path.exists() else []


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"


@pytest.mark.slow
def test_a_log_on_a_full_disk_costs_no_trial(growlab: Callable, home: Path) -> None:
    growlab("study", "create", "tiny.yaml", "--set", "n_trials=1", "--set", "budget.steps=10")

    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "growlab", "worker", "tiny"]
        done = subprocess.run(command, cwd=home, stderr=full, check=False, timeout=180)

    assert done.returncode == 0
    with Store.open(STORAGE) as store:
        [trial] = store.trials(store.study("tiny").id)
    assert trial.state is TrialState.COMPLETED


@pytest.mark.slow
def test_files_in_the_users_folder_are_not_taken_for_libraries(growlab: Callable, home: Path) -> None:
    (home / "copy.py").write_text("raise RuntimeError('a file of the user')")

    outcome = growlab("study", "run", "tiny.yaml", "--set", "n_trials=1", "--set", "budget.steps=10")

    assert outcome.code == 0, outcome.err


@pytest.mark.slow
@pytest.mark.parametrize("under_nohup", [False, True])
def test_a_closed_terminal_saves_the_trial_and_under_nohup_stops_nothing(
    growlab: Callable, spawn: Callable, under_nohup: bool
) -> None:
    growlab("study", "create", "tiny.yaml", "--set", "n_trials=1", "--set", "budget.steps=100000")
    ours = signal.signal(signal.SIGHUP, signal.SIG_IGN if under_nohup else signal.SIG_DFL)
    try:
        worker = spawn("worker", "tiny")  # which inherits that
    finally:
        signal.signal(signal.SIGHUP, ours)
    with Store.open(STORAGE) as store:
        study = store.study("tiny")
        while not store.counts(study.id)[TrialState.RUNNING]:
            time.sleep(0.1)

        worker.send_signal(signal.SIGHUP)
        if under_nohup:
            time.sleep(1)
            assert worker.poll() is None
            worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=180)

        [trial] = store.trials(study.id)
        assert (trial.state, store.attempts(trial.id)[0].end_reason) == (TrialState.QUEUED, EndReason.STOPPED)
    assert worker.returncode == 0


# ---- every GPU of a machine ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_device_all_starts_a_worker_on_each_device_with_the_limits_given(
    growlab: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CPU stands for two GPUs; the workers are real."""
    monkeypatch.setattr("growlab.training.device.every_gpu", lambda: ["cpu", "cpu"])
    growlab("study", "create", "tiny.yaml", "--set", "n_trials=3")

    outcome = growlab("worker", "tiny", "--device", "all", "--max-trials", "1")

    assert outcome.code == 0, outcome.err
    assert "2 worker(s) on study 'tiny'" in outcome.err
    with Store.open(STORAGE) as store:
        study = store.study("tiny")
        assert store.counts(study.id)[TrialState.COMPLETED] == 2
        workers = {attempt.worker for trial in store.trials(study.id) for attempt in store.attempts(trial.id)}
        assert len(workers) == 2


@pytest.mark.skipif(torch.accelerator.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("words", [("worker", "tiny"), ("study", "run", "tiny.yaml")])
def test_device_all_needs_a_gpu(growlab: Callable, words: tuple[str, ...]) -> None:
    growlab("study", "create", "tiny.yaml")

    outcome = growlab(*words, "--device", "all")

    assert outcome.code == 2
    assert "device 'all': this machine has no usable GPU; use --device cpu" in outcome.err


def test_a_device_that_is_not_there_is_a_mistake_of_the_command_line_whoever_starts_the_worker(
    growlab: Callable,
) -> None:
    growlab("study", "create", "tiny.yaml")

    outcomes = [growlab(*words, "tiny", "--device", "cuda:99") for words in (["worker"], ["study", "run"])]

    assert [outcome.code for outcome in outcomes] == [2, 2]
    assert all("device 'cuda:99': this machine has" in outcome.err for outcome in outcomes)


def test_the_workers_of_device_all_cannot_have_one_name(growlab: Callable) -> None:
    outcome = growlab("worker", "tiny", "--device", "all", "--name", "box")

    assert outcome.code == 2
    assert "--name is for one worker" in outcome.err


@pytest.mark.gpu
def test_device_all_trains_on_every_gpu(growlab: Callable) -> None:
    n_gpus = torch.cuda.device_count()
    growlab("study", "create", "tiny.yaml", "--set", f"n_trials={n_gpus}")

    outcome = growlab("worker", "tiny", "--device", "all", "--max-trials", "1")

    assert outcome.code == 0, outcome.err
    with Store.open(STORAGE) as store:
        study = store.study("tiny")
        devices = [attempt.device for trial in store.trials(study.id) for attempt in store.attempts(trial.id)]
    assert sorted(each.split()[0] for each in devices) == [f"cuda:{at}" for at in range(n_gpus)]


# ---- the last screen -------------------------------------------------------------------------------------------


def suggested(text: str) -> list[list[str]]:
    """The command lines that stand alone on a line, as a shell would read them."""
    return [shlex.split(line)[1:] for line in text.splitlines() if line.startswith("  growlab ")]


def test_a_run_in_a_pipe_ends_with_its_winner_and_commands_that_work(ran: Any, growlab_there: Callable) -> None:
    [progress] = re.findall(r"^3 of 3 trials done.*$", ran.outcome.err, re.M)
    report, export, generate = suggested(ran.outcome.err)

    outcomes = [growlab_there(*report), growlab_there(*export), growlab_there(*generate, "--length", "3")]

    assert "3 of 3 trials done, 0 running, 0 waiting · " in progress
    assert re.search(r"^best: trial \d, val_loss \d\.\d{4}: d=16 ", ran.outcome.err, re.M)
    assert [outcome.code for outcome in outcomes] == [0, 0, 0], outcomes
    assert (ran.home / "tiny-best").is_dir()


def test_a_finished_study_starts_no_worker_and_says_how_to_go_on(
    growlab_there: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("growlab.fleet.local.subprocess.Popen", None)  # a worker would be an error

    outcome = growlab_there("study", "run", "tiny")

    assert outcome.code == 0, outcome.err
    assert "study 'tiny' is finished; more trials: growlab study set tiny n_trials=6" in outcome.err
    assert "best: trial" in outcome.err
    assert "trial 0 completed" not in outcome.err


def test_on_a_terminal_the_last_screen_has_the_table(ran: Any, growlab_there: Callable, monkeypatch: Any) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stderr", screen := Terminal())

    with Store.open(STORAGE) as store:
        show_standing(read_standing(store, store.study("tiny"), storage=STORAGE))

    assert "tiny: 3 of 3 trials ended" in screen.getvalue()
    assert screen.getvalue().index("val_loss") < screen.getvalue().index("best: trial")


def test_trials_that_exist_are_not_taken_away(growlab_there: Callable) -> None:
    outcome = growlab_there("study", "set", "tiny", "n_trials=2")

    assert outcome.code == 2
    assert "n_trials must be at least 3, as study 'tiny' has so many trials, got 2" in outcome.err
