"""A wheel can do what a checkout can: migrate a database and list studies, from another directory."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=repository, check=True, capture_output=True)
    (built,) = folder.glob("growlab-*.whl")
    return built


def test_a_wheel_holds_migrations_and_studies_inside_the_package_only(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert "growlab/_alembic/env.py" in names
    assert {"growlab/_alembic/versions/0001_initial.py", "growlab/_alembic/versions/0002_engine.py"} <= set(names)
    assert "growlab/_studies/quickstart.yaml" in names
    assert {name.split("/")[0] for name in names} == {"growlab", f"growlab-{wheel.name.split('-')[1]}.dist-info"}


def test_an_unpacked_wheel_creates_a_study_from_another_directory(wheel: Path, tmp_path: Path) -> None:
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (corpus := elsewhere / "corpus.txt").write_text("a text that takes no time to read\n" * 1000)
    zipfile.ZipFile(wheel).extractall(site)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    done = subprocess.run(
        [sys.executable, "-m", "growlab", "study", "create", "quickstart", "--set", f"data={{path: {corpus}}}"],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert (elsewhere / "growlab.db").exists()


def test_an_installed_wheel_names_the_package_that_is_missing(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    asks = "from growlab.packages import install_command as c; print(c('pyarrow'), c('psycopg'), sep='\\n')"

    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", asks], cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert done.stdout.splitlines() == ["pip install 'pyarrow>=18'", "pip install 'psycopg[binary]>=3.2'"], done.stderr


def test_the_root_of_the_repository_does_not_shadow_the_alembic_library(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import alembic.config"], cwd=repository, capture_output=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert not (repository / "alembic" / "__init__.py").exists()


def test_the_door_of_a_checkout_is_the_same_command(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "cli.py", "--version"], cwd=repository, capture_output=True, text=True, check=False
    )

    assert done.stdout.startswith("growlab ")
