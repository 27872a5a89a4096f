"""Layouts without what all of them have in common, for where there is little room.

    d=64 attn[n_heads=2,qk_norm=true] mlp[expand=4.0]           attn[n_heads=2] mlp
    d=64 attn[n_heads=4,qk_norm=true] mlp[expand=4.0] conv      attn[n_heads=4] mlp conv

What is left out is said once: all have d=64, attn[qk_norm=true], mlp[expand=4.0]. Kinds and their order stay, always.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from growlab.errors import LayoutError
from growlab.layout import BlockSpec, Layout, OptionValue, format_layout, parse, walk

Options = Mapping[str, OptionValue]  # of a kind: those that all of its blocks have, with their values


@dataclass(frozen=True)
class ShortLayouts:
    texts: Mapping[str, str]  # by the whole text; one that cannot be read is as it was
    common: tuple[str, ...]  # what was left out: 'd=64', 'mlp[expand=4.0]'


def short_layouts(layouts: Iterable[str]) -> ShortLayouts:
    """Shorten layouts by what all of them have: the width, the front end, the head, and of each kind its options.

    A layout alone, or many that are the same, has nothing to differ in, and stays whole.
    """
    whole = list(dict.fromkeys(layouts))
    read = {text: layout for text in whole if (layout := _read(text)) is not None}
    if len(read) < 2:
        return ShortLayouts({text: text for text in whole}, ())
    found = list(read.values())
    options = _common_options(found)
    width = f"d={found[0].d_model} " if len({layout.d_model for layout in found}) == 1 else ""
    front = found[0].front if len({layout.front for layout in found}) == 1 else None
    head = found[0].head if len({layout.head for layout in found}) == 1 else None

    def short(layout: Layout) -> str:
        blocks = tuple(_without(block, options) for block in layout.blocks)
        shown = Layout(layout.d_model, blocks, None if front else layout.front, None if head else layout.head)
        return format_layout(shown).removeprefix(width)

    parts = [f"front={front}"] * (front is not None) + [f"head={head}"] * (head is not None)
    kinds = [str(BlockSpec(kind, tuple(values.items()))) for kind, values in sorted(options.items()) if values]
    texts = {text: short(read[text]) if text in read else text for text in whole}
    return ShortLayouts(texts, (*[width.strip()] * bool(width), *parts, *kinds))


@cache
def _read(text: str) -> Layout | None:
    try:
        return parse(text)
    except LayoutError:  # of a damaged row, or of a growlab to come
        return None


def _common_options(layouts: Sequence[Layout]) -> Mapping[str, Options]:
    """The options that every block of a kind has, and with one value."""
    common: dict[str, dict[str, OptionValue]] = {}
    blocks = (inner for layout in layouts for block in layout.blocks for inner in walk(block))
    for block in dict.fromkeys(blocks):
        own = dict(block.options)
        shared = common.setdefault(block.kind, own)
        common[block.kind] = {key: value for key, value in shared.items() if key in own and own[key] == value}
    return common


def _without(block: BlockSpec, options: Mapping[str, Options]) -> BlockSpec:
    left_out = options.get(block.kind, {})
    kept = tuple((key, value) for key, value in block.options if key not in left_out)
    return replace(block, options=kept).with_inner([_without(inner, options) for inner in block.inner])
