from collections.abc import Callable
from pathlib import Path

import pytest

from growlab.data.stdlib import read_stdlib
from growlab.specs import DataSpec


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for each test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("GROWLAB_CACHE", str(folder))
    return folder


@pytest.fixture
def spec_of(tmp_path: Path) -> Callable[..., DataSpec]:
    """Writes a text into a file and asks for it as a corpus."""

    def make(text: str, **changes: object) -> DataSpec:
        path = tmp_path / "corpus.txt"
        path.write_bytes(text.encode())
        asked = {
            "source": "text",
            "path": str(path),
            "tokenizer": "char",
            "val_fraction": 0.25,
            "test_fraction": 0.2,
            "sha256": "",
        }
        return DataSpec(**(asked | changes))

    return make


@pytest.fixture(scope="session")
def built_stdlib(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The stdlib text and the cache that holds it; built once, as it takes seconds."""
    folder = tmp_path_factory.mktemp("stdlib")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GROWLAB_CACHE", str(folder))
        return read_stdlib(""), folder
