"""What every registered kind of block, front end and head is and costs, as rows. Loads torch only where it must."""

import contextlib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Any

from growlab.files import write_atomically
from growlab.resources import cache_dir

WIDTH, LENGTH, VOCAB_SIZE = 256, 256, 256  # at which costs are quoted


def block_rows(plugins: Sequence[Path]) -> list[dict[str, Any]]:
    """Rows of all kinds, kept in the cache folder: torch takes seconds to load, and nothing here changes by itself.

    Kinds of plugins are computed each time.
    """
    from growlab.plugins import has_outside

    if plugins or has_outside():
        return _computed_rows(plugins)
    try:
        path = cache_dir() / "catalogue" / f"{_code_hash()}.json"
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        rows = _computed_rows(())
        with contextlib.suppress(OSError):  # a cache that cannot be written saves no time
            write_atomically(path, json.dumps(rows).encode())
    return rows


def _computed_rows(plugins: Sequence[Path]) -> list[dict[str, Any]]:
    from growlab.kinds import KINDS
    from growlab.plugins import load_plugins

    load_plugins(plugins)
    return [_block_row(name) for name in KINDS]


def _code_hash() -> str:
    """A hash of all code that says what a kind is and costs."""
    package = Path(__file__).parent
    files = [Path(__file__), package / "kinds.py", package / "layout.py", *sorted((package / "blocks").glob("*.py"))]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _block_row(name: str) -> dict[str, Any]:
    from growlab.blocks import block_cost
    from growlab.blocks.parts import part_cost
    from growlab.kinds import KINDS

    kind = KINDS[name]
    is_part = kind.role in ("front", "head")
    cost = part_cost(kind.example, WIDTH, LENGTH, VOCAB_SIZE) if is_part else block_cost(kind.example, WIDTH, LENGTH)
    return {
        "kind": name,
        "role": kind.role,
        "example": f"{kind.role}={name}" if is_part else str(kind.example),
        "summary": kind.summary,
        "cost": {
            "d_model": WIDTH,
            "seq_len": LENGTH,
            "n_params": cost.n_params,
            "flops": cost.flops,
            "state_size": cost.state_size,
        },
        "options": {
            option: {
                "default": None if field.default is MISSING else field.default,
                "search": list(field.metadata["search"]),
                "help": field.metadata["help"],
            }
            for option, field in kind.option_fields().items()
        },
    }
