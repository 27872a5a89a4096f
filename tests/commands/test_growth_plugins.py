"""The trigger and the operator that the documents show, through the commands and through a worker's process."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from growlab.plugins import load_plugins
from growlab.recipes import PARTS

PLUGINS = ("--plugin", "my_trigger.py", "--plugin", "my_operator.py")
GROWTH = "growth={trigger: [never, {share: {at: search}}], operator: {mean-of-two: {newer: search}}, max_depth: 9}"


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """A command that runs in this process registers its plugin in this process."""
    load_plugins()
    before = [dict(table) for table in PARTS.values()]
    yield
    for table, entries in zip(PARTS.values(), before, strict=True):
        table.reset(entries)


@pytest.fixture(autouse=True)
def plugins(home: Path, repository: Path) -> None:
    """The examples of the documents, as a person would copy them."""
    for name in ("my_trigger.py", "my_operator.py"):
        shutil.copy(repository / "docs" / name, home)


def test_their_options_are_listed_with_those_of_growlab(growlab: Callable) -> None:
    listed = growlab("study", "keys", "growth", *PLUGINS)
    [option] = json.loads(growlab("study", "keys", "growth.trigger.share.at", "--json", *PLUGINS).out)

    assert "share: a share of the budget is spent" in listed.out
    assert "growth.operator.mean-of-two.newer  share of the upper unit" in listed.out
    assert (option["default"], option["range"]) == ("0.1", "between 0 and 1")


def test_a_search_draws_their_options_where_they_act(growlab: Callable) -> None:
    outcome = growlab("study", "preview", "tiny.yaml", "--set", GROWTH, "--set", "n_trials=10", "--json", *PLUGINS)

    drawn = [row["params"] for row in json.loads(outcome.out)]
    assert outcome.code == 0, outcome.err
    assert {params["growth.trigger"] for params in drawn} == {"never", "share"}
    for params in drawn:
        acts = params["growth.trigger"] == "share"
        assert ("growth.trigger.share.at" in params) is ("growth.operator.mean-of-two.newer" in params) is acts


def test_without_the_plugin_its_name_is_unknown_and_how_to_give_it_is_said(growlab: Callable) -> None:
    outcome = growlab("study", "create", "tiny.yaml", "--set", GROWTH)

    assert outcome.code == 2
    known = "at, corrected, never, probe, slope, stagnation"
    assert f"unknown growth trigger 'share'; known: {known}. Or give the file that registers it" in outcome.err


@pytest.mark.slow
def test_a_study_that_grows_by_them_is_run_and_reported(
    growlab: Callable, spawn: Callable[..., subprocess.Popen[str]]
) -> None:
    growth = "growth={trigger: {share: {at: 0.5}}, operator: mean-of-two, freeze_steps: 2, max_depth: 9}"
    short = ("--set", "n_trials=1", "--set", "layouts.start_with=['d=16 conv mlp conv mlp']")

    run = spawn("study", "run", "tiny.yaml", "--set", growth, *short, *PLUGINS)
    said = run.communicate(timeout=180)
    page = growlab("report", "tiny", "--trial", "0", "--format", "table")
    facts = json.loads(growlab("report", "tiny", "--trial", "0", "--json").out)

    assert run.returncode == 0, said
    assert "on share 0.5, by mean-of-two, up to 9 blocks" in " ".join(page.out.split())
    assert [(event["step"], event["reason"], event["operator"]) for event in facts["growth_events"]] == [
        (20, "share", "mean-of-two")
    ]


def test_a_preview_in_a_pipe_has_a_column_for_what_acts_in_some_trials_alone(growlab: Callable) -> None:
    outcome = growlab("study", "preview", "tiny.yaml", "--set", GROWTH, "--set", "n_trials=10", *PLUGINS)

    header, *lines = (line.split("\t") for line in outcome.out.splitlines())
    at, trigger = header.index("growth.trigger.share.at"), header.index("growth.trigger")
    assert all(len(line) == len(header) for line in lines)
    assert {(line[trigger], bool(line[at])) for line in lines} == {("never", False), ("share", True)}
