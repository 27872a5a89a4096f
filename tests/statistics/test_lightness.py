"""Commands that compare nothing do not wait for what comparing needs."""

import subprocess
import sys

ROOM = ("intervals", "gains", "envelope", "holm", "repeats", "verdict", "confirm")


def test_importing_the_room_loads_nothing_heavy():
    code = (
        f"import sys, {', '.join(f'growlab.statistics.{name}' for name in ROOM)}\n"
        "print([name for name in ('torch', 'scipy', 'numpy', 'pandas', 'optuna') if name in sys.modules])"
    )

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed.strip() == "[]"
