"""growlab chat, end to end: a model that was trained on a few pairs, and what a person or a pipe gets from it."""

import io
import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from growlab.data.qa import by_question, read_pairs
from growlab.scalar import with_defaults
from growlab.specs import DataSpec

PAIRS = {
    "hi": "Hello: who are you?",
    "who are you?": "A small model.\nI was trained on seven pairs.",
    "what is 2+2?": "4",
    "do you like tea?": "Only in a blue cup.",
    "tell me a secret": "The key is under the mat.",
    "what rhymes with moon?": "June, soon, spoon.",
    "bye": "See you: soon!",
}
STUDY = """
name: bot
seed: 1
n_trials: 1
data: {source: qa, path: pairs.json, tokenizer: byte, val_fraction: 0.1, test_fraction: 0.0}
layouts:
  blocks: {attn: {n_heads: 2}, conv: {kernel: 3}, mlp: {}}
  d_model: 48
  depth: [4, 4]
  start_with: ["d=48 conv mlp attn[n_heads=2] mlp"]
train: {batch_size: 4, seq_len: 128, eval_every: 200, lr: 1e-2}
budget: {steps: 300}
"""


TRAINED_SHARE = 0.9  # of the questions, rounded down


def growlab_in(folder: Path, *words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "growlab", *words]
    return subprocess.run(command, cwd=folder, input=typed, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, command_line: Callable[..., Any]) -> Path:
    """A folder with the bundle `bot`, trained in some seconds."""
    folder = tmp_path_factory.mktemp("lab")
    entries = [{"question": question, "answer": answer, "topic": "x"} for question, answer in PAIRS.items()]
    (folder / "pairs.json").write_text(json.dumps(entries))
    (folder / "bot.yaml").write_text(STUDY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert command_line("study", "create", "bot.yaml").code == 0
        ran = command_line("worker", "bot", "--device", "cpu", "--threads", "1")
        assert ran.code == 0, ran.err
        assert command_line("export", "bot", "-o", "bot").code == 0
    return folder


@pytest.fixture
def trained(lab: Path) -> dict[str, str]:
    """The pairs of the train split."""
    groups = by_question(read_pairs(with_defaults(DataSpec, source="qa", path=str(lab / "pairs.json"))).pairs)
    return {pair.question: pair.answer for group in groups[: int(TRAINED_SHARE * len(groups))] for pair in group}


@pytest.fixture
def chat(lab: Path, growlab: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """growlab chat with what is typed into its pipe, in this process."""

    def run(typed: str | bytes, *words: str, folder: Path = lab / "bot") -> Any:
        content = typed if isinstance(typed, bytes) else typed.encode()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        return growlab("chat", str(folder), "--device", "cpu", *words)

    return run


Chat = Callable[..., Any]


def test_a_pipe_gets_the_trained_answers_and_nothing_else(lab: Path, trained: dict[str, str]) -> None:
    outcome = growlab_in(lab, "chat", "bot", "--temperature", "0", typed="".join(f"{each}\n" for each in trained))

    assert outcome.returncode == 0
    assert outcome.stderr == ""
    assert outcome.stdout == "".join(f"{answer}\n" for answer in trained.values())


def test_every_trained_question_is_answered_in_a_fresh_session_and_its_answer_ends(
    chat: Chat, trained: dict[str, str]
) -> None:
    outcome = chat("".join(f"{each}\n/reset\n" for each in trained), "--json", "--temperature", "0")

    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert len(trained) == 6
    assert {row["question"]: row["answer"] for row in rows} == trained
    assert all(row["ended"] for row in rows)


def test_a_session_may_begin_anew_and_be_left(chat: Chat, trained: dict[str, str]) -> None:
    question, answer = next(iter(trained.items()))

    outcome = chat(f"\n{question}\r\n\n/reset\n{question}\n/quit\n{question}\n", "--temperature", "0")

    assert (outcome.code, outcome.out) == (0, f"{answer}\n{answer}\n")


def test_a_seed_draws_the_same_answers(chat: Chat) -> None:
    def answers(seed: int) -> str:
        return chat("hm?\nhm?\n", "--temperature", "2", "--seed", str(seed), "--max-tokens", "30").out

    assert answers(1) == answers(1)
    assert answers(1) != answers(2)


def test_an_answer_ends_before_a_stop_string_and_at_the_most_tokens(chat: Chat, trained: dict[str, str]) -> None:
    question, answer = max(trained.items(), key=lambda pair: len(pair[1]))
    greedy = ("--temperature", "0")

    assert chat(f"{question}\n", *greedy, "--stop", answer[5:8]).out == f"{answer[:5]}\n"
    assert chat(f"{question}\n", *greedy, "--max-tokens", "7").out == f"{answer[:7]}\n"


def test_the_penalty_and_the_other_options_of_generate_are_taken(chat: Chat, trained: dict[str, str]) -> None:
    question = next(iter(trained))

    assert chat(f"{question}\n", "--top-k", "1").out == f"{trained[question]}\n"
    assert chat(f"{question}\n", "--top-p", "1e-9").out == f"{trained[question]}\n"
    assert chat(f"{question}\n", "--top-k", "1", "--repetition-penalty", "1e6").out != f"{trained[question]}\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--stop", ""], "error: a stop string needs at least one character, got ''"),
        (["--repetition-penalty", "0"], "error: repetition-penalty must be between 1e-6 and 1e6"),
        (["--temperature", "-1"], "error: temperature must be at least 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(chat: Chat, words: list[str], message: str) -> None:
    outcome = chat("hi\n", *words)

    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(message)
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (
            b"hi\nhi \xe9 hi\n",
            "error: line 2: is not UTF-8 at byte 3 (0xe9); its encoding cannot be known from its bytes",
        ),
        (
            "\ufeffhi\n".encode("utf-16-le"),
            "error: line 1: is not UTF-8 at byte 0 (0xff) but looks like UTF-16; convert",
        ),
        ("hi hi\n".encode("utf-16-le"), "error: line 1: has a NUL at byte 1 and looks like UTF-16LE without its mark"),
    ],
)
def test_bytes_that_are_no_text_are_refused_with_their_line(chat: Chat, typed: bytes, message: str) -> None:
    outcome = chat(typed, "--temperature", "0")

    assert outcome.code == 1
    assert outcome.err.startswith(message)
    assert outcome.err.count("\n") == 1


def test_the_mark_of_a_file_that_comes_through_a_pipe_is_no_text(chat: Chat, trained: dict[str, str]) -> None:
    question, answer = next(iter(trained.items()))

    outcome = chat(f"\ufeff{question}\r\n/reset\n\ufeff{question}\n", "--json", "--temperature", "0")

    rows = [json.loads(line) for line in outcome.out.splitlines()]
    assert [row["question"] for row in rows] == [question, f"\ufeff{question}"]
    assert rows[0]["answer"] == answer


def test_at_a_terminal_a_slip_is_told_and_the_session_goes_on(lab: Path, trained: dict[str, str]) -> None:
    question, answer = next(iter(trained.items()))
    command = [sys.executable, "-m", "growlab", "chat", "bot", "--temperature", "0"]
    terminal, theirs = pty.openpty()
    with os.fdopen(terminal, "wb", buffering=0) as keys, os.fdopen(theirs) as stdin:
        pipes = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, cwd=lab, text=True, **pipes) as process:
            keys.write(b"\xff\n" + question.encode() + b"\n\x04")
            out, err = process.communicate(timeout=180)

    assert (process.returncode, out) == (0, f"{answer}\n")
    assert "error: is not UTF-8 at byte 0 (0xff)" in err
    assert err.startswith("a question a line; /reset begins a new session")


def test_generate_lets_such_a_model_write_without_a_marker(lab: Path, growlab: Callable[..., Any]) -> None:
    for seed in range(5):
        outcome = growlab("generate", str(lab / "bot"), "--prompt", "hi", "--temperature", "2", "--seed", str(seed))
        assert outcome.code == 0
        assert outcome.out.startswith("hi")


def test_the_sample_of_its_trial_is_a_question_and_an_answer(lab: Path) -> None:
    shown = growlab_in(lab, "report", "bot", "--trial", "0", "--format", "json")

    sample = json.loads(shown.stdout)["sample"]
    assert sample.split("\n")[0] in PAIRS


# ---- what cannot chat ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"source": "text"}, "train": {"seq_len": 8}}, "was not trained on questions and answers but on sou"),
        ({}, "config.yaml: trial_spec: has no data or no train; export the trial again"),
    ],
)
def test_a_model_that_was_not_trained_on_questions_is_refused(
    lab: Path, tmp_path: Path, chat: Chat, changes: dict[str, Any], message: str
) -> None:
    folder = Path(shutil.copytree(lab / "bot", tmp_path / "other"))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | {"trial_spec": changes}))

    outcome = chat("hi\n", folder=folder)

    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path, chat: Chat) -> None:
    outcome = chat("hi\n", folder=tmp_path)

    assert outcome.code == 2
    assert "config.yaml: no such file; give a folder that growlab export wrote" in outcome.err
