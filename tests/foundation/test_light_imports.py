"""The foundation is light: `growlab report` and `--help` stand on it and must not wait for torch."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "optuna", "pandas", "sqlalchemy", "numpy")


@pytest.mark.parametrize(
    "module",
    [
        "errors",
        "defaults",
        "amounts",
        "finite",
        "delimited",
        "layout",
        "registry",
        "domains",
        "resources",
        "packages",
        "records",
        "kinds",
        "specs",
        "study",
        "study.column",
        "study.file",
        "plugins",
    ],
)
def test_importing_a_foundation_module_loads_nothing_heavy(module):
    code = f"import sys, growlab.{module}; print([name for name in {HEAVY} if name in sys.modules])"

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == "[]"
