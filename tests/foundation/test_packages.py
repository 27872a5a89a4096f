"""How a missing package comes to be installed, in a checkout; tests/house/test_packaging.py has the other way."""

import shlex
from pathlib import Path

import pytest

from growlab.packages import checkout_command, install_command


@pytest.mark.parametrize(
    ("package", "extra"), [("psycopg", "postgres"), ("tokenizers", "data"), ("pyarrow", "data"), ("datasets", "data")]
)
def test_a_checkout_is_installed_again_with_the_extra_that_has_the_package(
    repository: Path, package: str, extra: str
) -> None:
    assert shlex.split(install_command(package)) == ["pip", "install", "-e", f"{repository}[{extra}]"]


def test_the_path_of_a_checkout_can_be_pasted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    home = tmp_path / "my growlab"
    home.mkdir()
    (home / "pyproject.toml").write_text("[project.optional-dependencies]\nwide = ['pyarrow>=18']\n")
    monkeypatch.setattr("growlab.packages._HOME", home)

    assert shlex.split(install_command("pyarrow"))[-1] == f"{home}[wide]"
    assert shlex.split(checkout_command())[-1] == str(home)


def test_where_nothing_is_known_the_name_has_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("growlab.packages._HOME", tmp_path)
    monkeypatch.setattr("sys.path", [str(tmp_path)])

    assert install_command("pyarrow") == "pip install pyarrow"
