"""A block kind from outside, through the commands and through worker processes."""

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from growlab.data.sources import SOURCES
from growlab.kinds import KINDS
from growlab.model.cost import count_params
from growlab.plugins import load_plugins
from growlab.records import EndReason, TrialState
from growlab.search import propose
from growlab.storage import Store

WITH_SHIFT = ("--set", "layouts.blocks={shift: {present: 0.3}, mlp: {}}")
KNOWN = ", ".join(sorted(KINDS))
HINT = f"unknown block kind 'shift'; known: {KNOWN}. Or give the file that registers it: --plugin FILE"


@pytest.fixture(autouse=True)
def forget() -> Iterator[Callable[[], None]]:
    """A command that runs in this process registers its plugin in this process, until it is forgotten."""
    load_plugins()
    tables = (KINDS, SOURCES)
    before = [dict(each) for each in tables]

    def as_before() -> None:
        for table, entries in zip(tables, before, strict=True):
            table.reset(entries)

    yield as_before
    as_before()


@pytest.fixture
def block(home: Path, repository: Path) -> Path:
    """The example of the documents, as a person would copy it."""
    return Path(shutil.copy(repository / "docs" / "my_block.py", home))


def test_a_study_of_a_plugins_kind_is_run_reported_exported_and_writes(
    growlab: Callable, forget: Callable[[], None], block: Path
) -> None:
    short = ("--set", "n_trials=1", "--set", "budget.steps=20")
    run = growlab("study", "run", "tiny.yaml", *WITH_SHIFT, *short, "--plugin", "my_block.py")
    (row,) = json.loads(growlab("report", "tiny", "--json").out)["trials"]
    exported = growlab("export", "tiny", "-o", "best")
    written = growlab("generate", "best", "--length", "5", "--plugin", "my_block.py")
    forget()
    without = growlab("generate", "best", "--length", "5")

    assert run.code == 0, run.err
    assert row["state"] == "completed"
    assert "shift[present=0.3]" in row["layout"]
    assert exported.code == 0, exported.err
    assert (without.code, without.out) == (2, "")
    assert without.err == f"error: best/config.yaml: {HINT}\n"
    assert (written.code, len(written.out)) == (0, 5 + len("\n"))
    digest = hashlib.sha256(block.read_bytes()).hexdigest()[:12]
    assert _versions_of_workers()[0][f"plugin {block}"] == digest


def test_a_worker_without_the_plugin_refuses_and_the_trial_is_still_queued(growlab: Callable, block: Path) -> None:
    created = growlab("study", "create", "tiny.yaml", *WITH_SHIFT, "--plugin", "my_block.py")
    store = Store.open("sqlite:///growlab.db")
    row = store.study("tiny")
    made = propose(row.study, [], 0, KINDS, lambda layout: count_params(layout, 50))
    store.enqueue(row.id, made)

    worker = growlab("worker", "tiny")

    (trial,) = store.trials(row.id)
    (attempt,) = store.attempts(trial.id)
    assert f"growlab worker tiny --plugin {block}" in created.err
    assert worker.code == 2
    assert worker.err.splitlines()[-1] == f"error: {HINT}"
    assert (trial.state, trial.strikes) == (TrialState.QUEUED, 0)
    assert attempt.end_reason is EndReason.STOPPED


def test_a_worker_whose_plugin_fails_says_where(growlab: Callable, home: Path) -> None:
    growlab("study", "create", "tiny.yaml")
    (home / "broken.py").write_text("x = 1\n1 / 0\n")

    worker = growlab("worker", "tiny", "--plugin", "broken.py")

    assert worker.code == 2
    assert worker.err == f"error: plugin {home / 'broken.py'}, line 2: ZeroDivisionError: division by zero\n"


@pytest.mark.slow
def test_each_state_of_a_plugin_that_ran_is_on_record(growlab: Callable, spawn: Callable, block: Path) -> None:
    """A block that edits its own file and crashes: the trainer that is started then runs other code."""
    block.write_text(
        block.read_text().replace(
            "    def initial_state",
            "    def train(self, mode=True):\n"
            "        with open(__file__, 'a') as file:\n"
            "            file.write('TokenShift.train = nn.Module.train\\n')\n"
            "        import os\n"
            "        os._exit(1)\n\n"
            "    def initial_state",
        )
    )
    growlab("study", "create", "tiny.yaml", *WITH_SHIFT, "--set", "n_trials=1", "--plugin", "my_block.py")

    worker = spawn("worker", "tiny", "--plugin", "my_block.py")
    said = worker.communicate(timeout=180)

    assert worker.returncode == 0, said
    digests = [versions[f"plugin {block}"] for versions in _versions_of_workers()]
    assert len(set(digests)) == 2
    assert digests[-1] == hashlib.sha256(block.read_bytes()).hexdigest()[:12]


@pytest.mark.parametrize("command", ["study create tiny.yaml", "study preview tiny.yaml", "blocks", "data"])
def test_a_plugin_that_is_not_there_is_one_clear_message(growlab: Callable, home: Path, command: str) -> None:
    outcome = growlab(*command.split(), "--plugin", "nowhere.py")

    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "error: no plugin file 'nowhere.py'; give the path of one.\n"
    assert not (home / "growlab.db").exists()


def test_catalogues_and_a_preview_show_what_plugins_add(growlab: Callable, home: Path, block: Path) -> None:
    (home / "source.py").write_text(
        "from growlab.data import register_source\n\n\n"
        '@register_source("abc", "for a test")\ndef abc(spec):\n    return "abc " * 1000\n'
    )

    blocks = growlab("blocks", "shift", "--plugin", "my_block.py")
    sources = growlab("data", "--plugin", "source.py")
    previewed = growlab(
        "study", "preview", "tiny.yaml", *WITH_SHIFT, "--set", "data={source: abc}", "-n", "1", "--json"
    )

    assert "[present=0.7]" in blocks.out
    assert "for a test" in sources.out
    assert "shift[present=0.3]" in json.loads(previewed.out)[0]["layout"]


def test_plugins_of_the_environment_are_given_to_every_command(
    growlab: Callable, block: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROWLAB_PLUGINS", ":my_block.py")  # as GROWLAB_PLUGINS=$GROWLAB_PLUGINS:FILE leaves it

    outcome = growlab("blocks", "--json")

    assert "shift" in {row["kind"] for row in json.loads(outcome.out)}


def _versions_of_workers() -> list[dict[str, str]]:
    connection = sqlite3.connect("growlab.db")
    rows = connection.execute("SELECT versions FROM gl_workers").fetchall()
    connection.close()
    return [json.loads(versions) for (versions,) in rows]
