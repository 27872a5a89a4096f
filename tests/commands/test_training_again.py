"""growlab train: what it refuses, what it leaves behind, and what it says of a training that did not end well."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from growlab.kinds import KINDS
from growlab.preparation.checking import prepare
from growlab.preparation.sources import read_study
from growlab.running.crew import Crew
from growlab.running.work import Follower, work
from growlab.search import preview
from growlab.specs import BudgetSpec
from growlab.storage import Store, StudyRow
from growlab.study.column import trial_spec_to_mapping


@pytest.fixture
def config(home: Path) -> Path:
    """What growlab export writes of a trial, as far as growlab train reads it."""
    study, _ = prepare(read_study("tiny.yaml", ["growth.trigger=never"]), [], print)
    (proposal,) = preview(study, KINDS, lambda layout: 0, n=1)
    path = home / "config.yaml"
    mapping = {"study": "tiny", "trial": 0, "trial_spec": trial_spec_to_mapping(proposal.spec)}
    path.write_text(yaml.safe_dump(mapping))
    return path


@pytest.fixture
def at_work(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What workers would have been started with; none are, and the trial stays in the queue."""
    calls: list[dict[str, Any]] = []

    def work(store: Store, row: StudyRow, crew: Crew, *, again: str, follower: Follower) -> None:
        specs = [trial.spec for trial in store.trials(row.id)]
        calls.append({"study": row.study, "specs": specs, "again": again})

    for module in ("study_run", "slot_run", "training_again"):
        monkeypatch.setattr(f"growlab.running.{module}.work", work)
    return calls


# ---- before anything is written --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--device", "cuda:99"), 2, "device 'cuda:99': this machine has"),
        (("--device", "gpu"), 2, "unknown device 'gpu'"),
        (("--set", "growth.operator=foo"), 2, "unknown growth operator 'foo'"),
        (("--set", "growth.unit=conv mpl"), 2, "Did you mean 'mlp'?"),
        (("--set", "data.source=foo"), 2, "'foo'; known:"),
        (("--set", "data.path=/nowhere"), 1, "/nowhere"),
        (("--set", "train.seq_len=100000"), 1, "train.seq_len 100000 needs at least 100001"),
        (("--set", "data.sha256=12e3"), 1, "with --set data.sha256="),
    ],
)
def test_a_mistake_is_refused_and_leaves_nothing_behind(
    growlab: Callable, home: Path, config: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    outcome = growlab("train", "config.yaml", *words)

    assert outcome.code == code, outcome.err
    assert message in outcome.err
    assert not (home / "growlab.db").exists()


def test_a_changed_corpus_is_trained_on_when_its_hash_is_taken_back(
    growlab: Callable, home: Path, config: Path, at_work: list[dict[str, Any]]
) -> None:
    with (home / "corpus.txt").open("a") as file:
        file.write("one line more\n")

    refused = growlab("train", "config.yaml")
    growlab("train", "config.yaml", "--set", "data.sha256=")

    assert refused.code == 1
    assert "or make a new study of this one with --set data.sha256=" in refused.err
    (call,) = at_work
    old = yaml.safe_load(config.read_text())["trial_spec"]["data"]["sha256"]
    (spec,) = call["specs"]
    assert spec.data.sha256 == call["study"].data.sha256 not in ("", old)


# ---- after a stop ----------------------------------------------------------------------------------------------


def test_what_goes_on_is_the_same_command_line(growlab: Callable, config: Path, at_work: list[dict[str, Any]]) -> None:
    growlab("train", "config.yaml", "--artifacts", "elsewhere", "--threads", "1", "-o", "a b")

    (call,) = at_work
    assert call["again"] == "growlab train config.yaml --artifacts elsewhere --threads 1 -o 'a b' --resume"


@pytest.mark.parametrize(
    ("words", "again"),
    [
        (("study", "run", "tiny"), "growlab study run tiny --artifacts elsewhere"),
        (("worker", "tiny", "--device", "all"), "growlab worker tiny --device all --artifacts elsewhere"),
        (
            ("worker", "tiny", "--slots", "2", "--deterministic", "--threads", "3"),
            "growlab worker tiny --slots 2 --threads 3 --deterministic --artifacts elsewhere",
        ),
    ],
)
def test_the_artifacts_that_were_named_are_named_again(
    growlab: Callable,
    monkeypatch: pytest.MonkeyPatch,
    at_work: list[dict[str, Any]],
    words: tuple[str, ...],
    again: str,
) -> None:
    monkeypatch.setattr("growlab.training.device.every_gpu", lambda: ["cpu"])
    growlab("study", "create", "tiny.yaml")

    growlab(*words, "--artifacts", "elsewhere")

    (call,) = at_work
    assert call["again"] == again


# ---- a name that is taken, and one that is not -----------------------------------------------------------------


@pytest.mark.parametrize("resume", [(), ("--resume",)])
def test_a_study_that_is_not_this_training_is_refused(
    growlab: Callable, config: Path, at_work: list[dict[str, Any]], resume: tuple[str, ...]
) -> None:
    growlab("study", "create", "tiny.yaml", "--name", "kd")

    outcome = growlab("train", "config.yaml", "--name", "kd", *resume)

    assert outcome.code == 2
    assert "study 'kd' exists and is not this training; choose another with --name" in outcome.err
    assert not at_work


def test_changed_settings_do_not_go_on_with_what_was_begun(
    growlab: Callable, config: Path, at_work: list[dict[str, Any]]
) -> None:
    growlab("train", "config.yaml")

    same = growlab("train", "config.yaml", "--resume")
    other = growlab("train", "config.yaml", "--resume", "--set", "train.lr=1e-4")

    assert len(at_work) == 2
    assert "from step 0" not in same.err
    assert "study 'tiny-0-again' exists and is not this training" in other.err


def test_going_on_with_nothing_says_that_it_begins(
    growlab: Callable, config: Path, at_work: list[dict[str, Any]]
) -> None:
    outcome = growlab("train", "config.yaml", "--resume")

    assert "warning: no study 'tiny-0-again' to go on with in sqlite:///growlab.db; training from step 0" in outcome.err
    assert at_work


# ---- how it ends -----------------------------------------------------------------------------------------------


def test_a_trial_that_is_not_finished_can_be_gone_on_with(
    growlab: Callable, config: Path, at_work: list[dict[str, Any]]
) -> None:
    outcome = growlab("train", "config.yaml")

    assert outcome.code == 1
    assert "not completed but queued; go on with: growlab train config.yaml --resume" in outcome.err


def test_a_trial_that_diverged_is_a_failure_and_is_not_exported(growlab: Callable, home: Path, config: Path) -> None:
    outcome = growlab("train", "config.yaml", "--set", "train.lr=1e30", "-o", "again")

    assert outcome.code == 1, outcome.err
    assert "error: the trial is not completed but diverged: " in outcome.err
    assert "; see growlab report tiny-0-again --trial 0" in outcome.err
    assert not (home / "again").exists()


# ---- the budget ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "budget"),
    [
        (("--set", "budget.tokens=3200"), BudgetSpec(unit="tokens", amount=3200)),
        (("--set", "budget.flops=1e9"), BudgetSpec(unit="flops", amount=10**9)),
        (("--set", "budget.amount=100e6"), BudgetSpec(unit="steps", amount=10**8)),
        (("--set", "budget.tokens=3200", "--budget", "2x"), BudgetSpec(unit="tokens", amount=6400)),
    ],
)
def test_a_budget_is_changed_in_either_way(
    growlab: Callable, config: Path, at_work: list[dict[str, Any]], words: tuple[str, ...], budget: BudgetSpec
) -> None:
    growlab("train", "config.yaml", *words)

    (call,) = at_work
    assert call["specs"][0].budget == call["study"].budget == budget


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--budget", ""), "--budget must be a factor such as 10x or an amount such as 5e9, got ''"),
        (("--set", "budget.amount=2.5"), "budget.amount: must be a whole number of at least 1, got 2.5"),
        (("--set", "budget.tokens=many"), "budget.tokens: must be a whole number of at least 1, got 'many'"),
        (("--set", "budget=7"), "trial.budget: "),
        (("--set", "budget.toks=7"), "trial.budget.toks: unknown key"),
    ],
)
def test_a_budget_that_is_none_is_refused(
    growlab: Callable, config: Path, words: tuple[str, ...], message: str
) -> None:
    outcome = growlab("train", "config.yaml", *words)

    assert outcome.code == 2
    assert message in outcome.err


@pytest.mark.parametrize(
    "layout",
    [
        "d=16 mix(attn[n_heads=2],conv) act[most=2](conv mlp) router(mlp)",
        pytest.param(
            "d=16 front=patch[size=2,kernel=2] attn[n_heads=2] moe[n_experts=2] head=hebbian_head",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_layout_of_nests_and_parts_is_trained(growlab: Callable, config: Path, layout: str) -> None:
    outcome = growlab("train", "config.yaml", "--set", f"layout={layout}", "--threads", "1")

    assert outcome.code == 0, outcome.err


# ---- its export ------------------------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_refused_before_training(
    growlab: Callable, home: Path, config: Path
) -> None:
    outcome = growlab("train", "config.yaml", "-o", "corpus.txt/below/again")

    assert outcome.code == 2
    assert "corpus.txt is not a folder that you may write to; give another" in outcome.err
    assert not (home / "growlab.db").exists()


@pytest.mark.slow
def test_an_export_that_fails_afterwards_says_how_to_export_again(
    growlab: Callable, home: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else puts a file where the folder was to be, while workers train."""

    def work_meanwhile(*args: Any, **options: Any) -> None:
        work(*args, **options)
        (home / "again").write_text("taken")

    monkeypatch.setattr("growlab.running.training_again.work", work_meanwhile)

    failed = growlab("train", "config.yaml", "-o", "again", "--artifacts", "kept")
    exported = growlab("export", "tiny-0-again", "-o", "other", "--artifacts", "kept")

    assert failed.code == 1, failed.err
    assert "again is there already" in failed.err
    assert "export it with: growlab export tiny-0-again -o DIR --artifacts kept" in failed.err
    assert exported.code == 0, exported.err


@pytest.mark.parametrize("written", ["[1]", "a word"])
def test_a_trial_spec_that_is_no_mapping_is_refused(growlab: Callable, home: Path, written: str) -> None:
    (home / "bad.yaml").write_text(f"trial_spec: {written}\n")

    outcome = growlab("train", "bad.yaml", "--set", "train.lr=1")

    assert outcome.code == 2
    assert outcome.err.startswith("error: bad.yaml: trial_spec: must be a mapping, got ")


def test_a_last_training_takes_val_in_and_goes_on_with_it(
    growlab: Callable, config: Path, at_work: list[dict[str, Any]]
) -> None:
    growlab("train", "config.yaml", "--with-val")

    (call,) = at_work
    assert [spec.data.train_on_val for spec in call["specs"]] == [True]
    assert call["again"] == "growlab train config.yaml --with-val --resume"
