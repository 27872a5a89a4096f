"""What growlab writes into the header of a safetensors file: one JSON object, under the name growlab."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from growlab.errors import CheckpointError
from growlab.escapes import quoted

_NAME = "growlab"


def write_header(numbers: Mapping[str, Any]) -> dict[str, str]:
    """Write numbers into the metadata of a file."""
    return {_NAME: json.dumps(numbers)}


def read_header(path: Path, metadata: Mapping[str, str] | None) -> dict[str, Any]:
    """Read what write_header wrote, {} of a file without it. Raises CheckpointError where it is no JSON object."""
    text = (metadata or {}).get(_NAME, "{}")
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):  # no JSON; a number of thousands of digits; ten thousand brackets
        header = None
    if not isinstance(header, dict):
        raise CheckpointError(f"{path} is no growlab checkpoint: its header must be a JSON object, got {quoted(text)}")
    return header
