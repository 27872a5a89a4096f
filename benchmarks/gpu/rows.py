"""Results as lines of JSON: one for each finished measurement, so that a run that was cut goes on where it was."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch


class Rows:
    def __init__(self, path: Path) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        self._known = {json.loads(line)["what"] for line in lines}

    def __contains__(self, what: str) -> bool:
        return what in self._known

    def add(self, what: str, figures: Mapping[str, object]) -> None:
        row = json.dumps({"what": what, **figures})
        with self._path.open("a") as file:
            file.write(row + "\n")
        print(row, flush=True)


def about(script: str, corpus: Path, out: Path, options: str = "", **settings: object) -> dict[str, object]:
    """The command, the device, the versions and the settings of a measurement."""
    return {
        "command": f"python benchmarks/gpu/{script} {corpus.name} {out.name} {options}".rstrip(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "torch": torch.__version__,
        **settings,
    }
