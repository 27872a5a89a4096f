import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from growlab.data import SOURCES
from growlab.data.stdlib import read_stdlib
from growlab.scalar import with_defaults
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
        return with_defaults(DataSpec, **(asked | changes))

    return make


@pytest.fixture
def sha256_of() -> Callable[[str], str]:
    """Of a text in UTF-8: what a study records of its corpus."""
    return lambda text: hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture
def read() -> Callable[..., str]:
    """The whole text that a source finds at a path; other keys of a data section by their names."""

    def whole(source: str, path: object = "", **changes: object) -> str:
        spec = with_defaults(DataSpec, source=source, path=str(path), **changes)
        return "".join(SOURCES[source].pieces(spec))

    return whole


@pytest.fixture
def as_nobody() -> Callable[[], AbstractContextManager[None]]:
    """Without the privileges of root, who may read and write everything."""

    @contextmanager
    def enter() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        try:
            os.seteuid(65534)
        except OSError:
            pytest.skip("this container does not let root become another user")
        try:
            yield
        finally:
            os.seteuid(0)

    return enter


@pytest.fixture(scope="session")
def built_stdlib(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The stdlib text and the cache that holds it; built once, as it takes seconds."""
    folder = tmp_path_factory.mktemp("stdlib")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GROWLAB_CACHE", str(folder))
        return read_stdlib(), folder
