"""The foundation is light: `growlab report` and `--help` stand on it and must not wait for torch."""

import subprocess
import sys

HEAVY = ("torch", "optuna", "pandas", "sqlalchemy", "numpy")
MODULES = (
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
)

IMPORT_ALL = f"""
import importlib, sys
for module in {MODULES}:
    importlib.import_module(f"growlab.{{module}}")
    if heavy := [name for name in {HEAVY} if name in sys.modules]:
        print(module, *heavy)
        break
"""


def test_importing_a_foundation_module_loads_nothing_heavy() -> None:
    printed = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=True).stdout

    assert printed == ""  # else the first module that does, and what
