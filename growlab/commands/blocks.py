"""growlab blocks"""

import json
from typing import Annotated

import typer

from growlab.catalogue import LENGTH, WIDTH, block_rows
from growlab.commands.completion import kinds
from growlab.commands.options import Json, Plugin
from growlab.errors import NotRegistered
from growlab.report.terminal import print_wrapped

_INDENT = 22  # of the lines about a kind


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
        print_wrapped(f"{row['kind']:<12} {row['role']:<8} ", f"{row['summary']}{as_written}")
        cost = row["cost"]
        print_wrapped(
            " " * _INDENT,
            f"{cost['n_params']:,} parameters, {cost['flops']:,} FLOPs forward, "
            f"state of {cost['state_size']:,} numbers (d_model {WIDTH}, {LENGTH} tokens)",
        )
        for name, option in row["options"].items():
            drawn = ", ".join(str(value) for value in option["search"])
            print_wrapped(" " * _INDENT, f"[{name}={option['default']}]  {option['help']}; searched: {drawn}")
