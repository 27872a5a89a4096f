import runpy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from growlab.kinds import KINDS

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test reads or writes the user's caches and databases, or uses more than one thread: tensors are tiny."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GROWLAB_CACHE", str(tmp_path_factory.mktemp("cache")))
        for name in ("GROWLAB_STORAGE", "GROWLAB_ARTIFACTS", "GROWLAB_DEBUG", "GROWLAB_PLUGINS"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT


# ---- block kinds in docs/ keep what every kind keeps; elsewhere they are not registered -------------------------


@contextmanager
def _documented_kinds_registered() -> Iterator[None]:
    before = dict(KINDS)
    try:
        for file in sorted((ROOT / "docs").glob("*_block.py")):
            runpy.run_path(str(file))
        yield
    finally:
        KINDS.reset(before)


@pytest.fixture(scope="module")
def documented_kinds() -> Iterator[None]:
    """The kinds of docs/ are registered while a module's tests run."""
    with _documented_kinds_registered():
        yield


@pytest.hookimpl(wrapper=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Iterator[None]:
    """… and while the tests of all kinds are listed."""
    if not {"spec", "kind", "mixer"} & set(metafunc.fixturenames):
        return (yield)
    with _documented_kinds_registered():
        return (yield)
