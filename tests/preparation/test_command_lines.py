"""Options by which another process finds what this one found: never a password, never another database."""

from pathlib import Path

import pytest

from growlab.preparation.command_lines import place_options, speaking_command
from growlab.study.reading import study_from_mapping


@pytest.mark.parametrize(
    ("storage", "shown"),
    [
        ("sqlite:///growlab.db", None),  # the default
        ("sqlite:///./growlab.db", None),  # another name of the same file
        ("sqlite:///other.db", "sqlite:///other.db"),
        ("sqlite+pysqlite:///x.db", "sqlite:///x.db"),
        ("postgres://ada@host/db", "postgresql://ada@host/db"),
        ("postgresql+psycopg://ada@host/db?passfile=/x", "postgresql://ada@host/db?passfile=%2Fx"),
        # without any, what is pasted would find another database
        ("postgresql://ada:s3cret@host/db", "postgresql://ada:***@host/db"),
        ("postgresql://ada@host/db?password=s3cret", "postgresql://ada@host/db?password=***"),
    ],
)
def test_the_storage_is_named_unless_it_is_the_default_and_never_with_a_password(
    storage: str, shown: str | None
) -> None:
    assert place_options(storage) == ([] if shown is None else ["--storage", shown])


def test_a_storage_that_the_environment_names_need_not_be_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROWLAB_STORAGE", "sqlite:///other.db")

    assert place_options("sqlite:///other.db") == []


def test_plugins_are_named_too() -> None:
    assert place_options("sqlite:///growlab.db", [Path("/a b.py")]) == ["--plugin", "/a b.py"]


def test_the_artifacts_are_named_unless_the_environment_names_them(monkeypatch: pytest.MonkeyPatch) -> None:
    given = place_options("sqlite:///growlab.db", artifacts=Path("on disk"))
    monkeypatch.setenv("GROWLAB_ARTIFACTS", "on disk")
    known = place_options("sqlite:///growlab.db", artifacts=Path("on disk"))

    assert (given, known) == (["--artifacts", "on disk"], [])


@pytest.mark.parametrize(("source", "command"), [("qa", "chat"), ("text", "generate")])
def test_a_model_that_was_trained_on_questions_is_one_to_chat_with(source: str, command: str) -> None:
    study = study_from_mapping(
        {
            "name": "tiny",
            "n_trials": 1,
            "data": {"source": source, "path": "texts.json"},
            "layouts": {"d_model": 8, "depth": 2, "blocks": ["attn", "mlp"]},
            "budget": {"steps": 10},
        }
    )

    assert speaking_command(study) == command
