"""What lies in a bundle.

config.yaml         which trial this is, its layout, all that re-runs it, its result, the files' sha256
model.safetensors   the weights, by parameter name
tokenizer.json
metrics.csv         step, split, name, value: the whole course of training
"""

from pathlib import Path
from typing import Any

from growlab.errors import SpecError
from growlab.yaml_file import read_yaml

CONFIG, MODEL, TOKENIZER, METRICS = "config.yaml", "model.safetensors", "tokenizer.json", "metrics.csv"

# What the weights cannot be read without.
_NEEDED = {"layout": (str, "a text"), "vocab_size": (int, "a whole number"), "files": (dict, "a mapping")}


def read_config(folder: Path) -> dict[str, Any]:
    """Read config.yaml. Raises SpecError, with the file's path, when it is missing, malformed or says too little."""
    path = folder / CONFIG
    try:
        config = read_yaml(path)
    except SpecError as error:
        raise SpecError(f"{path}: {error}; give a folder that growlab export wrote") from None
    for key, (expected, description) in _NEEDED.items():
        if type(got := config.get(key)) is not expected:
            raise SpecError(f"{path}: {key}: must be {description}, got {got!r}; export the trial again")
    return config


def recorded_sha256(config: dict[str, Any], folder: Path, name: str) -> str:
    """The recorded sha256 of one of the bundle's files. Raises SpecError when the config does not list it."""
    sha256 = config["files"].get(name)
    if not isinstance(sha256, str):
        raise SpecError(f"{folder / CONFIG}: files.{name}: is missing; export the trial again")
    return sha256
