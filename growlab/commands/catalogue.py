"""growlab blocks, growlab data: what there is."""

import contextlib
import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import MISSING
from pathlib import Path
from typing import Annotated, Any

import typer

from growlab.commands.completion import kinds
from growlab.commands.options import Json, Plugin
from growlab.errors import NotRegistered
from growlab.escapes import visible
from growlab.files import write_atomically
from growlab.report.terminal import PIPE_WIDTH, wrapped
from growlab.resources import cache_dir

_INDENT = 22  # of what is said of a kind
_WIDTH, _LENGTH, _VOCAB = 256, 256, 256  # at which costs are quoted


def blocks(
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help="One kind in full.", autocompletion=kinds)] = None,
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """List the kinds of blocks, front ends and heads: role, options, and cost at d_model 256 for 256 tokens."""
    rows = block_rows(plugin or [])
    if kind:
        known = [row["kind"] for row in rows]
        if kind not in known:
            raise NotRegistered("block kind", kind, known)
        rows = [row for row in rows if row["kind"] == kind]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        as_written = "" if row["example"] == row["kind"] else f"; written {row['example']}"
        _print_wrapped(f"{row['kind']:<12} {row['role']:<8} ", f"{row['summary']}{as_written}")
        cost = row["cost"]
        _print_wrapped(
            " " * _INDENT,
            f"{cost['n_params']:,} parameters, {cost['flops']:,} FLOPs forward, "
            f"state of {cost['state_size']:,} numbers (d_model {_WIDTH}, {_LENGTH} tokens)",
        )
        for name, each in row["options"].items():
            drawn = ", ".join(str(value) for value in each["search"])
            _print_wrapped(" " * _INDENT, f"[{name}={each['default']}]  {each['help']}; searched: {drawn}")


def _print_wrapped(before: str, text: str) -> None:
    """At words, with a hanging indent, as wide as the terminal; a line as it is into a pipe."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPE_WIDTH
    print(wrapped(before, visible(text), width))


def block_rows(plugins: Sequence[Path]) -> list[dict[str, Any]]:
    """What every kind is, kept in the cache folder: torch takes seconds to load, and nothing here changes by itself.

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
    """Of all code that says what a kind is and costs."""
    package = Path(__file__).parents[1]
    files = [Path(__file__), package / "kinds.py", package / "layout.py", *sorted((package / "blocks").glob("*.py"))]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()[:16]


def _block_row(name: str) -> dict[str, Any]:
    from growlab.blocks import block_cost
    from growlab.blocks.parts import part_cost
    from growlab.kinds import KINDS

    kind = KINDS[name]
    is_part = kind.role in ("front", "head")
    cost = part_cost(kind.example, _WIDTH, _LENGTH, _VOCAB) if is_part else block_cost(kind.example, _WIDTH, _LENGTH)
    return {
        "kind": name,
        "role": kind.role,
        "example": f"{kind.role}={name}" if is_part else str(kind.example),
        "summary": kind.summary,
        "cost": {
            "d_model": _WIDTH,
            "seq_len": _LENGTH,
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


def data(as_json: Json = False, plugin: Plugin = None) -> None:
    """List the data sources and tokenisers that a study may name."""
    from growlab.data import list_sources, list_tokenizers
    from growlab.plugins import load_plugins

    load_plugins(plugin or [])
    sources = [{"source": name, "summary": summary} for name, summary in list_sources()]
    tokenizers = [{"tokenizer": name, "summary": summary} for name, summary in list_tokenizers()]
    if as_json:
        print(json.dumps({"sources": sources, "tokenizers": tokenizers}, indent=2))
        return
    for row in sources:
        print(visible(f"source     {row['source']:<16} {row['summary']}"))
    for row in tokenizers:
        print(f"tokenizer  {row['tokenizer']:<16} {row['summary']}")
