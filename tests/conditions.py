"""Runs the rooms that import torch as other machines run them: other instructions, other threads, another order.

    make test-conditions            # a new order
    make test-conditions SEED=17    # that one again

It ends with a table, and leaves with 1 where a test failed. No part of `make test`.
"""

import os
import random
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORES = len(os.sched_getaffinity(0))
CAPABILITIES = {  # of the processor, as the libraries below torch are told them
    "default": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"},
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
}


@dataclass(frozen=True)
class Condition:
    capability: str
    threads: int
    seed: int  # of the order

    def __str__(self) -> str:
        return f"{self.capability:<10}  {self.threads:>7}  {self.seed:>10}"


def main(seed: str = "") -> int:
    first = int(seed) if seed else random.randrange(10**9)
    conditions = [Condition(*pair, first + at) for at, pair in enumerate(product(CAPABILITIES, (1, 2)))]
    print(f"the first order is that of SEED={first}", flush=True)
    ended = [(condition, *run(condition)) for condition in conditions]
    print(f"\n{'capability':<10}  {'threads':>7}  {'order':>10}  {'time':>6}  result")
    for condition, _, result, elapsed_s in ended:
        print(f"{condition}  {elapsed_s:>4.0f} s  {result}")
    return 1 if any(status for _, status, _, _ in ended) else 0


def run(condition: Condition) -> tuple[int, str, float]:
    """Pytest's exit status, what its last line says of passed and failed tests, and the time it took."""
    command = [sys.executable, "-m", "pytest", "-q", "--threads", str(condition.threads)]
    command += ["--shuffle", str(condition.seed), "--numprocesses", str(CORES // condition.threads)]
    command += ["--dist", "loadfile", *rooms()]
    environment = os.environ | CAPABILITIES[condition.capability] | {"OMP_NUM_THREADS": str(condition.threads)}
    began, last = time.monotonic(), ""
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as pytest:
        assert pytest.stdout
        for line in pytest.stdout:
            print(line, end="", flush=True)
            last = line.strip() or last
    return pytest.returncode, re.sub(r" in [0-9.]+s.*", "", last), time.monotonic() - began


def rooms() -> list[str]:
    """The folders of tests whose room in growlab imports torch."""
    imports = re.compile(r"^\s*(import|from) torch\b", re.MULTILINE)
    names = {file.parent.relative_to(ROOT / "growlab").parts[0] for file in (ROOT / "growlab").glob("*/**/*.py")
             if imports.search(file.read_text())}  # fmt: skip
    return [f"tests/{name}" for name in sorted(names)]


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
