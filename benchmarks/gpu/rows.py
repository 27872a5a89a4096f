"""Results as lines of JSON: one for each finished measurement, so that a run that was cut goes on where it was."""

import argparse
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


def parser_of(doc: str | None, *, devices: bool = False) -> argparse.ArgumentParser:
    """CORPUS and OUT.jsonl, and with `devices` --device, for a script of this docstring."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    if devices:
        parser.add_argument("--device", default="cuda", help="cpu tries the script, and measures nothing of use")
    return parser


def about(script: str, corpus: Path, out: Path, options: str = "", **settings: object) -> dict[str, object]:
    """The command, the device, the versions and the settings of a measurement."""
    return {
        "command": f"python benchmarks/gpu/{script} {corpus.name} {out.name} {options}".rstrip(),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "torch": torch.__version__,
        **settings,
    }
