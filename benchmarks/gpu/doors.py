"""What it takes to compare kernels with their definitions at a worker's start, and how far apart they are.

    python benchmarks/gpu/doors.py OUT.jsonl [--device cuda]

    nothing compiled   seconds of each door's comparison, in a process that finds an empty cache
    compiled           the same, in a process that finds the kernels on disk, and not that they agreed
    noted              the same, in a process that finds that too: every start of a worker but the first
    apart              the largest distance of an output or a gradient from float64, in its own norm, for each example

The second and the third are what a worker waits for; together they are to take less than a second.
"""

import argparse
import inspect
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from rows import Rows

import growlab.blocks
import growlab.model.cross_entropy  # noqa: F401  (they make the doors)
from growlab.kernels import is_open
from growlab.kernels.door import DOORS, outputs_and_gradients, stepped_back
from growlab.training.device import use_device


def seconds_of_doors(device: torch.device) -> dict[str, float]:
    numbered = str(torch.zeros(1, device=device).device)
    taken = {}
    for name in DOORS:
        began = time.perf_counter()
        is_open(name, numbered)
        taken[name] = round(time.perf_counter() - began, 4)
    return taken


def apart(device: torch.device) -> dict[str, list[float]]:
    doors = {name: door for name, door in DOORS.items() if device.type == "cuda" or door.measured}
    return {name: [_distance(name, at, device) for at in range(len(door.examples()))] for name, door in doors.items()}


def _distance(name: str, at: int, device: torch.device) -> float:
    door = DOORS[name]
    names, inputs = list(inspect.signature(door.definition).parameters), door.examples()[at]
    exact = outputs_and_gradients(door.definition, names, inputs, torch.device("cpu"), torch.float64)
    found = outputs_and_gradients(door.kernel(), names, inputs, device, torch.float32)
    return max(float((found[key] - exact[key]).norm() / exact[key].norm().clamp(min=1e-30)) for key in exact)


def child(what: str, device: torch.device) -> None:
    figures = apart(device) if what == "apart" else seconds_of_doors(device)
    print(json.dumps({"figures": figures, "stepped_back": stepped_back()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cuda", help="cpu tries the script, in Triton's interpreter: minutes")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child, use_device(asked.device))
        return
    rows = Rows(asked.out)
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"GROWLAB_CACHE": cache, "GROWLAB_KERNELS": "all"}
        if asked.device == "cpu":
            environment |= {"GROWLAB_KERNELS": "interpreted", "TRITON_INTERPRET": "1"}
        for what in ("nothing compiled", "compiled", "noted", "apart"):
            if what == "compiled":
                shutil.rmtree(Path(cache) / "kernels", ignore_errors=True)
            command = [sys.executable, __file__, str(asked.out), "--device", asked.device, "--child", what]
            told = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
            figures = json.loads(told.splitlines()[-1])
            if what != "apart":
                figures["together_s"] = round(sum(figures["figures"].values()), 3)
            if what not in rows:
                rows.add(what, figures | {"torch": torch.__version__, "device": asked.device})


if __name__ == "__main__":
    main()
