"""A layout: the width and the ordered blocks of a model, as data and as a short text.

    d=192 (attn mlp)x3 conv[kernel=4] mlp[expand=2.5]

    layout := "d=" INTEGER item+
    item   := block | "(" item+ ")" "x" INTEGER
    block  := KIND [ "[" KEY "=" VALUE { "," KEY "=" VALUE } "]" ]

`parse` and `format_layout` are inverse up to how repetition is written; what a kind's options
mean is not known here (see growlab.kinds).
"""

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from growlab.errors import LayoutError

OptionValue = bool | int | float | str

_TOKEN = re.compile(
    r"\s+|(?P<repeat>\)\s*x\s*\d{1,9})|(?P<open>\()|(?P<width>d=\d{1,9})|(?P<block>[a-z][a-z0-9_]*(\[[^\]]*\])?)"
)
_EXAMPLE = "write it like 'd=192 (attn mlp)x3 conv[kernel=4] mlp'"
MAX_BLOCKS = 4096  # '((attn)x9999)x9999' must not fill the memory


@dataclass(frozen=True)
class BlockSpec:
    """One residual sub-layer: its kind and its options, sorted by name."""

    kind: str
    options: tuple[tuple[str, OptionValue], ...] = ()

    def __str__(self) -> str:
        options = ",".join(f"{key}={_format_value(value)}" for key, value in self.options)
        return f"{self.kind}[{options}]" if options else self.kind


@dataclass(frozen=True)
class Layout:
    """The residual stream's width and its blocks, from the input side to the output side."""

    d_model: int
    blocks: tuple[BlockSpec, ...]

    def __str__(self) -> str:
        return format_layout(self)

    @property
    def depth(self) -> int:
        return len(self.blocks)

    @property
    def hash(self) -> str:
        """16 hex digits; equal for equal layouts, however their repetition was written."""
        return hashlib.sha256(str(self).encode()).hexdigest()[:16]


def parse(text: str) -> Layout:
    """Read a layout's text. Raises LayoutError that names the place and shows an example."""
    d_model, blocks = _parse_items(text)
    if d_model is None:
        raise LayoutError(f"layout {text!r} has no width 'd=…'; {_EXAMPLE}")
    if d_model < 1:
        raise LayoutError(f"layout {text!r}: d must be at least 1, got {d_model}")
    return Layout(d_model, blocks)


def parse_blocks(text: str) -> tuple[BlockSpec, ...]:
    """Read blocks without a width, such as the unit 'conv mlp'. Raises LayoutError."""
    d_model, blocks = _parse_items(text)
    if d_model is not None:
        raise LayoutError(f"blocks {text!r} must not name a width, got d={d_model}")
    return blocks


def format_layout(layout: Layout) -> str:
    return f"d={layout.d_model} {format_blocks(layout.blocks)}"


def format_blocks(blocks: Sequence[BlockSpec]) -> str:
    """The shortest-motif-first text: at each place the repetition that covers most blocks, if any."""
    words: list[str] = []
    at = 0
    while at < len(blocks):
        period, times = _best_repetition(blocks[at:])
        motif = blocks[at : at + period]
        words.append(str(motif[0]) if times == 1 else f"({format_blocks(motif)})x{times}")
        at += period * times
    return " ".join(words)


def _best_repetition(blocks: Sequence[BlockSpec]) -> tuple[int, int]:
    """(period, times) of the leading repetition that covers most blocks; (1, 1) if nothing repeats."""
    best = (1, 1)
    for period in range(1, len(blocks) // 2 + 1):
        times = 1
        while blocks[times * period : (times + 1) * period] == blocks[:period]:
            times += 1
        if times > 1 and period * times > best[0] * best[1]:
            best = (period, times)
    return best


def _parse_items(text: str) -> tuple[int | None, tuple[BlockSpec, ...]]:
    d_model: int | None = None
    stack: list[list[BlockSpec]] = [[]]
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise LayoutError(f"layout {text!r}: cannot read {text[at : at + 12]!r} at character {at + 1}; {_EXAMPLE}")
        if match["width"]:
            if d_model is not None or at != len(text) - len(text.lstrip()):
                raise LayoutError(f"layout {text!r}: {match['width']!r} must come once and first")
            d_model = int(match["width"][2:])
        elif match["open"]:
            stack.append([])
        elif match["repeat"]:
            _close_group(text, stack, times=int(match["repeat"].split("x")[1]))
        elif match["block"]:
            stack[-1].append(_parse_block(match["block"]))
        at = match.end()
    if len(stack) > 1:
        raise LayoutError(f"layout {text!r}: a '(' is not closed; {_EXAMPLE}")
    if not stack[0]:
        raise LayoutError(f"layout {text!r} has no blocks; {_EXAMPLE}")
    return d_model, tuple(stack[0])


def _close_group(text: str, stack: list[list[BlockSpec]], *, times: int) -> None:
    if len(stack) == 1:
        raise LayoutError(f"layout {text!r}: a ')' has no '('; {_EXAMPLE}")
    group = stack.pop()
    if not group or times < 1:
        raise LayoutError(f"layout {text!r}: a group needs blocks and a repetition of at least x1")
    if len(stack[-1]) + len(group) * times > MAX_BLOCKS:
        raise LayoutError(f"layout {text!r} has more than {MAX_BLOCKS} blocks")
    stack[-1].extend(group * times)


def _parse_block(text: str) -> BlockSpec:
    kind, _, options_text = text.removesuffix("]").partition("[")
    options: dict[str, OptionValue] = {}
    for pair in filter(None, (part.strip() for part in options_text.split(","))):
        key, equals, value = (piece.strip() for piece in pair.partition("="))
        if not (key and equals and value):
            raise LayoutError(f"block {text!r}: {pair!r} is not an option; write it like 'kernel=4'")
        if key in options:
            raise LayoutError(f"block {text!r} sets {key!r} twice")
        options[key] = _parse_value(value)
    return BlockSpec(kind, tuple(sorted(options.items())))


def _parse_value(text: str) -> OptionValue:
    if text in ("true", "false"):
        return text == "true"
    for number in (int, float):
        try:
            value = number(text)
        except ValueError:
            continue
        if math.isfinite(value):  # nan and inf are words: nan would make a layout unequal to itself
            return value
    return text


def _format_value(value: OptionValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
