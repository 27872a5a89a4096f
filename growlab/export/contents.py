"""What lies in a bundle.

config.yaml         which trial this is, its layout, all that re-runs it, its result, the files' sha256
model.safetensors   the weights, by parameter name
tokenizer.json
metrics.csv         step, split, name, value: the whole course of training
README.md           the model card
"""

from pathlib import Path
from typing import Any

from growlab.errors import SpecError
from growlab.suggest import command
from growlab.yaml_file import read_yaml

CONFIG, MODEL, TOKENIZER, METRICS = "config.yaml", "model.safetensors", "tokenizer.json", "metrics.csv"
CARD = "README.md"

_OF_TRANSFORMERS = "config.json"  # that `--to hf` writes, and only that

# What the weights cannot be read without.
_NEEDED = {"layout": (str, "a text"), "vocab_size": (int, "a whole number"), "files": (dict, "a mapping")}


FRONT_FOLDER = "trial-{}"  # of a front: each of its trials in a folder of its own


def is_export(folder: Path) -> bool:
    """Whether a folder is one that growlab export wrote: a trial's, or a front's, which holds such folders alone."""
    if not folder.is_dir() or folder.is_symlink():
        return False
    if (folder / CONFIG).is_file():
        return True
    inner = list(folder.iterdir())
    return bool(inner) and all(path.name.startswith(FRONT_FOLDER.format("")) and is_export(path) for path in inner)


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


def require_own(config: dict[str, Any], folder: Path) -> None:
    """Refuse what was exported for transformers, which growlab does not read back. Raises SpecError."""
    if _OF_TRANSFORMERS in config["files"]:
        study, trial = (str(config.get(key, key.upper())) for key in ("study", "trial"))
        again = command("export", study, options=["--trial", trial, "-o", "DIR"])
        raise SpecError(
            f"{folder} was exported for transformers, which reads it without growlab: {folder / CARD} says how; "
            f"growlab reads an export of its own: {again}"
        )


def recorded_sha256(config: dict[str, Any], folder: Path, name: str) -> str:
    """The recorded sha256 of one of the bundle's files. Raises SpecError when the config does not list it."""
    sha256 = config["files"].get(name)
    if not isinstance(sha256, str):
        raise SpecError(f"{folder / CONFIG}: files.{name}: is missing; export the trial again")
    return sha256
