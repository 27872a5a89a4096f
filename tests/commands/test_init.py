"""growlab init: a first study of somebody's own text."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

TEXT = "".join(
    f"It was the day number {n} and the sun was in the sky of the town, as it was for all.\n" for n in range(400)
)


@pytest.fixture
def texts(home: Path) -> Path:
    folder = home / "my texts"
    folder.mkdir()
    for at in range(2):
        (folder / f"{at}.txt").write_text(TEXT[at * 17_000 :][:17_000], encoding="utf-8")
    return folder


def test_a_study_of_a_folder_is_written_and_previewed_without_a_warning(
    growlab: Callable, home: Path, texts: Path
) -> None:
    made = growlab("init", "my texts", "--minutes", "0.5")
    previewed = growlab("study", "preview", "my-texts.yaml")

    assert (made.code, made.out) == (0, "")
    assert "text: 2 files, 33.9 kB of ASCII" in made.err
    assert "language: Latin letters, by its commonest words English" in made.err
    assert "FLOPs per second in training, measured" in made.err
    assert "wrote my-texts.yaml; look at its trials: growlab study preview my-texts.yaml" in made.err
    study = yaml.safe_load((home / "my-texts.yaml").read_text())
    assert (study["name"], study["data"]["path"]) == ("my-texts", "my texts")
    assert previewed.code == 0
    assert "warning" not in previewed.err


def test_nothing_is_overwritten_unless_forced(growlab: Callable, home: Path, texts: Path) -> None:
    (home / "s.yaml").write_text("mine")

    refused = growlab("init", "my texts", "-o", "s.yaml")
    forced = growlab("init", "my texts", "-o", "s.yaml", "--minutes", "0.5", "--force")

    assert refused.code == 2
    assert "s.yaml exists; --force overwrites it, and -o FILE names another" in refused.err
    assert forced.code == 0
    assert (home / "s.yaml").read_text().startswith("# A first study of my texts")


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("init", "nowhere"), 2, "'nowhere': no such file or folder"),
        (("init", "empty.txt"), 1, "empty.txt: is empty"),
        (("init", "my texts", "-o", "my texts"), 2, "my texts is a folder; name a file with -o"),
        (("init", "my texts", "--device", "cuda:77"), 2, "cuda:77"),
        (("init", "my texts", "-o", "empty.txt/s.yaml"), 1, "empty.txt/s.yaml cannot be written: "),
        (("init", "my texts", "--name", "../evil"), 2, "name must begin with a letter or digit"),
    ],
)
def test_what_cannot_be_begun_with_is_refused(
    growlab: Callable, home: Path, texts: Path, words: tuple[str, ...], code: int, message: str
) -> None:
    (home / "empty.txt").touch()

    refused = growlab(*words)

    assert refused.code == code
    assert message in refused.err
    assert not list(home.glob("evil*"))
