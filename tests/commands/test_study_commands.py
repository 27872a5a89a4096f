import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from growlab.storage import Store, head_revision


def test_a_created_study_is_listed_shown_and_deleted(growlab: Callable) -> None:
    created = growlab("study", "create", "tiny.yaml")
    listed = growlab("study", "list", "--json")
    shown = growlab("study", "show", "tiny")
    deleted = growlab("study", "delete", "tiny", "--yes")

    assert (created.code, created.out) == (0, "")
    assert "created study 'tiny'" in created.err
    [tiny] = json.loads(listed.out)
    assert (tiny["name"], tiny["trials_per_hour"], tiny["trials_at_once"]) == ("tiny", None, None)
    assert yaml.safe_load(shown.out)["growth"]["operator"]["aiether"]["eta0"] == 0.03  # a default, written out
    assert deleted.code == 0
    assert json.loads(growlab("study", "list", "--json").out) == []


def test_the_corpus_hash_is_pinned_when_a_study_is_created(growlab: Callable, home: Path) -> None:
    growlab("study", "create", "tiny.yaml")

    stored = Store.open("sqlite:///growlab.db").study("tiny").study.data
    assert len(stored.sha256) == 64
    assert stored.path == str(home / "corpus.txt")


def test_the_texts_of_a_curriculum_are_pinned_likewise(growlab: Callable, home: Path) -> None:
    (home / "words.txt").write_text("ein Wort\n" * 40, encoding="utf-8")
    stages = "curriculum=[{until: 0.5, path: words.txt, plasticity: 0.5}, {until: 1.0, plasticity: 0.9}]"

    created = growlab("study", "create", "tiny.yaml", "--set", stages)

    first, last = Store.open("sqlite:///growlab.db").study("tiny").study.curriculum
    assert (first.path, len(first.sha256)) == (str(home / "words.txt"), 64)
    assert (last.path, last.sha256) == ("", "")
    assert "warning: curriculum sets a plasticity, which none of this study's blocks has" in created.err


def test_set_changes_a_value_and_name_gives_another_name(growlab: Callable) -> None:
    growlab("study", "create", "tiny.yaml", "--name", "other", "--set", "train.lr=5e-3", "--set", "budget.tokens=2e4")

    shown = yaml.safe_load(growlab("study", "show", "other").out)
    assert shown["train"]["lr"] == 5e-3
    assert shown["budget"] == {"tokens": 20_000}


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("study", "create", "tinny.yaml"), 2, "no study file 'tinny.yaml'; shipped studies: chat, hybrid, mqar_long"),
        (("study", "create", "quickstrat"), 2, "Did you mean 'quickstart'?"),
        (("study", "create", "tiny.yaml", "--set", "layouts.blocks={atn: {}}"), 2, "Did you mean 'attn'?"),
        (("study", "create", "tiny.yaml", "--set", "train.lrr=1"), 2, "train.lrr: unknown key. Did you mean 'lr'?"),
        (("study", "create", "tiny.yaml", "--set", "growth.operator=aether"), 2, "Did you mean 'aiether'?"),
        (("study", "create", "tiny.yaml", "--set", "growth.max_depth=3"), 2, "growth.max_depth must be at least"),
        (("study", "create", "tiny.yaml", "--set", "data.path=nowhere.txt"), 1, "nowhere.txt"),
        (("study", "create", "tiny.yaml", "--set", "train.seq_len=2000"), 1, "val"),
        (("study", "create", "tiny.yaml", "--name", "../evil"), 2, "name must begin with a letter or digit"),
        (("study", "create", "tiny.yaml", "--name=-x"), 2, "name must begin with a letter or digit"),
        (("study", "create", "tiny.yaml", "--set", "data.sha256=abc"), 1, "recorded abc…; bring the recorded text"),
        (("study", "create", "tiny.yaml", "--set", "layouts.max_params=1"), 2, "max_params"),
        (("study", "create", "tiny.yaml", "--set", "growth.history_window_size=999"), 2, "at most 256, got 999"),
        (("study", "run", "nosuch.yaml"), 2, "no study file 'nosuch.yaml'; shipped studies: chat"),
        (
            ("study", "run", "corpus.txt"),
            2,
            "is no study file; if it is a text, write a study of it: growlab init corpus.txt",
        ),
        (
            ("study", "run", "."),
            2,
            "'.' is a folder, and no study; if it holds texts, write a study of them: growlab init .",
        ),
        (("study", "run", "tiny.yaml", "--set", "train.lrr=1"), 2, "Did you mean 'lr'?"),
        (("demo", "--folder", "."), 2, "is not empty"),
        (("demo", "--folder", ".", "--again"), 2, "which no demo made; nothing was deleted"),
        (("demo", "--folder", "tiny.yaml"), 2, "is not a folder"),
        (
            ("demo", "--folder", "tiny.yaml/new"),
            1,
            "tiny.yaml/new cannot be made or emptied: Not a directory; --folder names",
        ),
        (("study", "create", "tiny.yaml", "--set", "nonsense"), 2, "write it like train.lr=1e-3"),
        (("study", "create", "tiny.yaml", "--storage", "oracle://x/y"), 1, "no storage on 'oracle'"),
        (("worker", "tiny"), 1, "no database at sqlite:///growlab.db; create a study first"),
        (("report", "tiny"), 1, "no database at sqlite:///growlab.db"),
        (("reprot", "tiny"), 2, "Did you mean 'report'"),
        (("report", "tiny", "--format", "xml"), 2, "unknown format 'xml'; known: csv, json, table, tsv"),
        (("report", "tiny", "other"), 2, "several studies (tiny, other) have no common leaderboard"),
        (("report", "tiny", "--against", "1e-3"), 2, "say by what: --group-by KEY"),
        (("report", "tiny", "--group-by", "lr", "--trial", "0"), 2, "--group-by and --trial are two reports"),
        (("report", "tiny", "--group-by", "lr", "--margin", "0.1"), 2, "say with which value: --against VALUE"),
        (("test", "tiny", "--trial", "0"), 1, "no database at sqlite:///growlab.db"),
        (("export", "tiny"), 2, "-o DIR"),
        (("blocks", "atn"), 2, "Did you mean 'attn'?"),
    ],
)
def test_a_mistake_is_one_clear_message_and_leaves_nothing_behind(
    growlab: Callable, home: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    outcome = growlab(*words)

    assert outcome.code == code
    assert message in " ".join(outcome.err.replace("│", " ").split())
    assert "Traceback" not in outcome.err
    assert outcome.out == ""
    assert not (home / "growlab.db").exists()


def test_malformed_yaml_is_named_with_its_place(growlab: Callable, home: Path) -> None:
    (home / "bad.yaml").write_text("name: x\ndata: {source: [text\n")

    outcome = growlab("study", "create", "bad.yaml")

    assert outcome.code == 2
    assert outcome.err.startswith("error: bad.yaml: is not valid YAML")
    assert "line 3" in outcome.err


def test_an_existing_study_is_not_overwritten(growlab: Callable) -> None:
    growlab("study", "create", "tiny.yaml")

    again = growlab("study", "create", "tiny.yaml", "--set", "n_trials=9")

    assert again.code == 1
    assert "'tiny'" in again.err
    assert Store.open("sqlite:///growlab.db").study("tiny").study.n_trials == 2


def test_an_unknown_study_names_the_known_ones(growlab: Callable) -> None:
    growlab("study", "create", "tiny.yaml")

    outcome = growlab("report", "tyni")

    assert outcome.code == 1
    assert "tiny" in outcome.err


def test_a_foreign_schema_is_refused_and_said_by_db_check(growlab: Callable, home: Path) -> None:
    growlab("study", "create", "tiny.yaml")
    with sqlite3.connect(home / "growlab.db") as connection:
        connection.execute("UPDATE growlab_alembic_version SET version_num = '9999'")
    connection.close()

    for words in (("report", "tiny"), ("db", "check"), ("study", "create", "tiny.yaml"), ("db", "upgrade")):
        outcome = growlab(*words)

        assert outcome.code == 1, words
        assert "9999" in outcome.err, words


def test_a_backup_is_a_database_with_the_same_studies(growlab: Callable, home: Path) -> None:
    growlab("study", "create", "tiny.yaml")

    wrote = growlab("db", "backup", "copy.db")

    assert (wrote.code, wrote.err) == (0, "wrote copy.db: 0.1 MiB, all of sqlite:///growlab.db\n")
    assert growlab("study", "list", "--storage", "sqlite:///copy.db").out == growlab("study", "list").out


def test_a_database_of_an_older_growlab_is_used_again_once_it_is_upgraded(
    growlab: Callable, home: Path, repository: Path
) -> None:
    with closing(sqlite3.connect(home / "growlab.db")) as connection:
        connection.executescript((repository / "tests/storage/old_databases/0001_sqlite.sql").read_text())
    advice = "back it up (growlab db backup FILE), then run: growlab db upgrade"
    refusal = f"has schema 0001, this growlab needs {head_revision()}; {advice}"

    for words in (("report", "nightly"), ("worker", "nightly"), ("study", "list"), ("db", "check")):
        outcome = growlab(*words)
        assert (outcome.code, outcome.out) == (1, ""), words
        assert refusal in outcome.err, words
    upgraded = growlab("db", "upgrade")
    rows = json.loads(growlab("report", "nightly", "--json").out)["trials"]
    page = growlab("report", "nightly", "--trial", "0", "--format", "table").out

    assert f"schema 0001 → {head_revision()}" in upgraded.err
    assert [(row["trial"], row["state"], row["engine"]) for row in rows[:2]] == [
        (0, "completed", None),
        (2, "running", None),
    ]
    assert "1.5000 nats per token" in page


def test_db_commands_tell_the_schema(growlab: Callable) -> None:
    growlab("db", "upgrade")

    assert growlab("db", "current").out.strip() == head_revision()
    assert growlab("db", "check").code == 0


def test_preview_spends_nothing_and_shows_the_studys_trials(growlab: Callable, home: Path) -> None:
    outcome = growlab("study", "preview", "tiny.yaml", "--json")

    rows = json.loads(outcome.out)
    assert len(rows) == 2
    assert all(row["n_params"] > 0 and row["total_flops"] > 0 and row["time_s"] > 0 for row in rows)
    assert sum(row["measured"] for row in rows) == 1
    assert not (home / "growlab.db").exists()


def test_catalogues_name_what_is_registered(growlab: Callable) -> None:
    kinds = {row["kind"] for row in json.loads(growlab("blocks", "--json").out)}
    sources = {row["source"] for row in json.loads(growlab("data", "--json").out)["sources"]}

    assert {"attn", "conv", "mlp"} <= kinds
    assert {"stdlib", "text"} <= sources
    assert "[n_heads=4]" in growlab("blocks", "attn").out


def test_a_space_says_which_layouts_to_start_with_no_study_may_have(growlab: Callable) -> None:
    given = ("tiny.yaml", "--set", "layouts.start_with=[d=16 conv mlp]", "--set", "layouts.max_params=1")

    shown, listed, created = (
        growlab("study", "space", *given),
        growlab("study", "space", *given, "--json"),
        growlab("study", "create", *given),
    )

    [beyond] = json.loads(listed.out)["start_with_beyond"]
    line = f"layouts.start_with[0] has {beyond['amount']} parameters, more than layouts.max_params 1"
    assert shown.code == 0
    assert f"{line}\n  so growlab study create refuses the study" in shown.out
    assert line in created.err
    assert created.code == 2


def test_limits_on_what_layouts_cost_are_those_of_the_real_kinds(growlab: Callable) -> None:
    """FLOPs, state and memory of the start layout, as growlab.model.cost counts them."""
    start = ("--set", "layouts.start_with=[d=16 conv mlp]")

    outcomes = {
        limit: growlab("study", "create", "tiny.yaml", *start, "--set", f"layouts.{limit}=1")
        for limit in ("max_grown_params", "max_flops_per_token", "max_state", "max_memory")
    }
    large = growlab("study", "create", "tiny.yaml", *start, "--set", "layouts.max_memory=8e9")

    assert [outcome.code for outcome in outcomes.values()] == [2] * 4
    for limit, outcome in outcomes.items():
        assert "layouts.start_with[0] has " in outcome.err
        assert f"more than layouts.{limit} 1" in outcome.err
    assert large.code == 0
    with Store.open("sqlite:///growlab.db") as store:
        assert store.study("tiny").study.layouts.max_memory == 8_000_000_000


def test_a_trial_by_hand_is_within_the_limits(growlab: Callable) -> None:
    growlab("study", "create", "tiny.yaml", "--set", "layouts.max_memory=1e7")

    outcome = growlab("trial", "add", "tiny", "--layout", "d=256 (attn mlp)x2")

    assert outcome.code == 2
    assert "error: the layout has " in outcome.err
    assert "bytes of memory, more than layouts.max_memory 10000000" in outcome.err


def test_the_space_of_a_file_and_of_a_stored_study_is_counted(growlab: Callable) -> None:
    """Whether the counts are right is tested in tests/search, on kinds whose stacks can be listed."""
    growlab("study", "create", "tiny.yaml", "--set", "layouts.max_memory=2e5", "--name", "stored")

    of_file = growlab("study", "space", "tiny.yaml")
    stored = json.loads(growlab("study", "space", "stored", "--json").out)

    assert of_file.code == 0
    assert "searched scalars\n  train.lr: 0.001 to 0.01" in of_file.out
    assert "limits leave all of 1000 random draws (at least 99.6%" in of_file.out
    assert list(stored["n_layouts_by_depth"]) == ["2", "3", "4"]
    assert stored["n_layouts"] == sum(stored["n_layouts_by_depth"].values())
    assert stored["n_within"] + stored["exceeded"]["layouts.max_memory"] == stored["n_draws"] == 1000
    assert max(size["largest"] for size in stored["sizes"] if size["name"] == "memory") <= 200_000
