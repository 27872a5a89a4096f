"""Asking for a report must not wait for libraries that it does not use."""

import subprocess
import sys

SCRIPT = """
import importlib, pkgutil, sys
import growlab.report
for module in pkgutil.iter_modules(growlab.report.__path__, "growlab.report."):
    importlib.import_module(module.name)
print([name for name in ("torch", "pandas", "rich", "plotille", "optuna") if name in sys.modules])
"""


def test_importing_the_whole_room_loads_neither_torch_nor_what_is_used_only_by_some():
    loaded = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)

    assert loaded.stdout == "[]\n"
