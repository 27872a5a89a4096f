"""growlab blocks, growlab data: what there is."""

import json
from dataclasses import MISSING
from typing import Annotated, Any

import typer

from growlab.commands.options import Json, Plugin
from growlab.escapes import visible

_WIDTH, _LENGTH, _VOCAB = 256, 256, 256  # at which costs are quoted


def blocks(
    kind: Annotated[str | None, typer.Argument(metavar="KIND", help="One kind in full.")] = None,
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """List the kinds of blocks, front ends and heads: role, options, and cost at d_model 256 for 256 tokens."""
    from growlab.kinds import KINDS
    from growlab.plugins import load_plugins

    load_plugins(plugin or [])
    names = [KINDS[kind].name] if kind else list(KINDS)
    rows = [_block_row(name) for name in names]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        as_written = "" if row["example"] == row["kind"] else f"; written {row['example']}"
        print(visible(f"{row['kind']:<12} {row['role']:<8} {row['summary']}{as_written}"))
        cost = row["cost"]
        print(
            f"{'':<21} {cost['n_params']:,} parameters, {cost['flops']:,} FLOPs forward, "
            f"state of {cost['state_size']:,} numbers (d_model {_WIDTH}, {_LENGTH} tokens)"
        )
        for name, each in row["options"].items():
            drawn = ", ".join(str(value) for value in each["search"])
            print(visible(f"{'':<21} [{name}={each['default']}]  {each['help']}; searched: {drawn}"))


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
