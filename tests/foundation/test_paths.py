"""What a path means: from the home folder, and where the names of files cannot be written."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from growlab.errors import UsageError
from growlab.files import resolved
from growlab.home import from_home
from growlab.plugins import plugin_file
from growlab.resources import cache_dir
from growlab.storage.address import read_address
from growlab.study.file import read_study_file

STUDY = "name: a\nn_trials: 1\nlayouts: {blocks: [mlp], d_model: 8, depth: [1, 1]}\nbudget: {steps: 1}\n"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def nobody(monkeypatch):
    """A user id without a name and a home folder, as a container may be given."""

    def unknown(_):
        raise KeyError

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("GROWLAB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("~", ""), ("~/", ""), ("~/a/b", "a/b"), ("~//a", "a"), (Path("~/a"), "a")],
)
def test_a_tilde_is_the_home_folder(home, written, meant):
    assert from_home(written) == home / meant


@pytest.mark.parametrize("written", ["", "a", "/a", "a/~/b", "~a/b", "./~/a"])
def test_any_other_path_is_as_it_is_written(home, written):
    assert from_home(written) == Path(written)


def test_a_tilde_is_the_home_folder_wherever_a_path_is_given(home, monkeypatch):
    home.mkdir()
    (home / "blocks.py").touch()
    (home / "a.yaml").write_text(STUDY + "data: {tokenizer: file, path: ~/a.txt, tokenizer_path: ~/tokenizer.json}\n")
    data = read_study_file(home / "a.yaml").data
    monkeypatch.setenv("GROWLAB_CACHE", "~/cache")

    assert cache_dir() == home / "cache"
    assert plugin_file(Path("~/blocks.py")) == home / "blocks.py"
    assert read_address("sqlite:///~/a.db").path == home / "a.db"
    assert (data.path, data.tokenizer_path) == (f"{home}/a.txt", f"{home}/tokenizer.json")


def test_the_cache_lies_in_the_home_folder_unless_a_variable_names_another(home, monkeypatch):
    monkeypatch.delenv("GROWLAB_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    usual = cache_dir()
    monkeypatch.setenv("XDG_CACHE_HOME", "~/xdg")

    assert (usual, cache_dir()) == (home / ".cache" / "growlab", home / "xdg" / "growlab")


def test_without_a_home_folder_it_says_what_to_set(nobody):
    with pytest.raises(
        UsageError, match=r"^no home folder; set GROWLAB_CACHE to a folder .* this user is unknown here"
    ):
        cache_dir()
    with pytest.raises(UsageError, match=r"^no home folder; write '~/a' without '~'"):
        from_home("~/a")


def test_without_a_home_folder_a_named_cache_does(nobody, monkeypatch):
    monkeypatch.setenv("GROWLAB_CACHE", "/cache")

    assert cache_dir() == Path("/cache")


def test_a_locale_that_cannot_name_a_file_is_what_is_named(tmp_path):
    code = r"from growlab.files import resolved; from pathlib import Path; resolved(Path('donn\u00e9es'))"
    ascii_alone = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}

    ended = subprocess.run([sys.executable, "-c", code], env=ascii_alone, capture_output=True, text=True)

    assert r"this locale (ascii) cannot name 'donn\xe9es'; set LC_ALL=C.UTF-8" in ended.stderr


@pytest.mark.parametrize(("path", "held"), [("a\0b", "a NUL"), ("a\ud800b", "half a surrogate pair")])
def test_what_no_path_can_hold_is_named(path, held):
    with pytest.raises(UsageError, match=f"holds {held}, which no path can"):
        resolved(Path(path))
