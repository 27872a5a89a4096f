"""A layout: the width, the ordered blocks and, where it has its own, the front end and the head of a model; as data
and as a short text.

    d=192 (attn mlp)x3 conv[kernel=4] mlp[expand=2.5]
    d=192 front=patch[size=4] (mix(attn,ssm) mlp)x2 act[most=4](attn mlp) head=hebbian_head

    layout := "d=" INTEGER [ "front=" part ] item+ [ "head=" part ]
    item   := block | "(" item+ ")" "x" INTEGER
    block  := part [ "(" item+ { "," item+ } ")" [ "x" INTEGER ] ]        what is in parentheses belongs to the block
    part   := KIND [ "[" KEY "=" VALUE { "," KEY "=" VALUE } "]" ]

A block's own parenthesis follows it without a space; items between two commas are a branch of it.
`parse` and `format_layout` are inverse up to how repetition is written: a printed repetition begins where a unit
does (a sequence mixer or a nest) wherever one of equal length does. What else a kind is, and what its options mean,
is not known here (see growlab.kinds).
"""

import hashlib
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from growlab.errors import LayoutError
from growlab.escapes import quoted

OptionValue = bool | int | float | str

_TOKEN = re.compile(
    r"\s+|(?P<close>\)(\s*x\s*(?P<times>\d{1,9}))?)|(?P<open>\()|(?P<comma>,)|(?P<width>d=\d{1,9})"
    r"|((?P<role>front|head)=)?(?P<block>[a-z][a-z0-9_]*(\[[^\]]*\])?)(?P<nest>\()?"
)
_EXAMPLE = "write it like 'd=192 (attn mlp)x3 conv[kernel=4] mlp'"
MAX_BLOCKS = 4096  # '((attn)x9999)x9999' must not fill the memory
MAX_TEXT = 100_000  # characters
MAX_NESTS = 8  # one in another
CHANNEL_KINDS = frozenset({"mlp", "moe"})  # belong to the unit before them; any other kind begins a unit
LOOP = "loop"  # the kind that runs what it holds again and again
LOOP_TIMES = 2  # of a loop that does not say how often
MOST_PASSES = 64  # of a block through all loops that hold it


@dataclass(frozen=True)
class BlockSpec:
    """One residual sub-layer: its kind, its options, sorted by name, and the branches of blocks that it holds."""

    kind: str
    options: tuple[tuple[str, OptionValue], ...] = ()
    branches: tuple[tuple["BlockSpec", ...], ...] = ()

    def __str__(self) -> str:
        return _block_text(self, _at_a_unit)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Computed once: a search looks up the same few blocks thousands of times, each with all that it holds."""
        return hash((self.kind, self.options, self.branches))

    def __getstate__(self) -> dict[str, Any]:
        return without_hash(self)

    @property
    def inner(self) -> tuple["BlockSpec", ...]:
        """The blocks that this one holds directly, branch after branch."""
        if not self.branches:
            return ()
        return tuple(block for branch in self.branches for block in branch)

    def with_inner(self, inner: Sequence["BlockSpec"]) -> "BlockSpec":
        """Replace the blocks that this one holds by others, in their order."""
        if not self.branches:
            return self
        rest = iter(inner)
        return replace(self, branches=tuple(tuple(next(rest) for _ in branch) for branch in self.branches))


@dataclass(frozen=True)
class Layout:
    """The residual stream's width and its blocks, from the input side to the output side.

    Without a front end of its own tokens are embedded as they are; without a head of its own the head is
    the embedding's matrix.
    """

    d_model: int
    blocks: tuple[BlockSpec, ...]
    front: BlockSpec | None = None
    head: BlockSpec | None = None

    def __str__(self) -> str:
        return format_layout(self)

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.d_model, self.blocks, self.front, self.head))

    def __getstate__(self) -> dict[str, Any]:
        return without_hash(self)

    @property
    def depth(self) -> int:
        return len(self.blocks)

    @property
    def hash(self) -> str:
        """The hash of a layout, 16 hex digits; equal for equal layouts, however their repetition was written.

        It is that of a text of its own, whose repetitions begin as early as they can: hashes are stored, and stay.
        """
        return hashlib.sha256(_layout_text(self, _earliest).encode()).hexdigest()[:16]


def without_hash(value: object) -> dict[str, Any]:
    """The state to pickle of what keeps its hash: in another process that of a text is another one."""
    return {name: held for name, held in vars(value).items() if name != "_hash"}


def parse(text: str) -> Layout:
    """Read a layout's text. Raises LayoutError that names the place and shows an example."""
    layout = _Reader(text).read()
    if layout.d_model is None:
        raise LayoutError(f"layout {_named(text)} has no width 'd=…'; {_EXAMPLE}")
    if layout.d_model < 1:
        raise LayoutError(f"layout {_named(text)}: d must be at least 1, got {layout.d_model}")
    return Layout(layout.d_model, tuple(layout.blocks), layout.front, layout.head)


def parse_blocks(text: str) -> tuple[BlockSpec, ...]:
    """Read blocks alone, such as the unit 'conv mlp'. Raises LayoutError."""
    layout = _Reader(text).read()
    if layout.d_model is not None:
        raise LayoutError(f"blocks {_named(text)} must not name a width, got d={layout.d_model}")
    if layout.front or layout.head:
        raise LayoutError(f"blocks {_named(text)} must name neither front nor head, got {layout.front or layout.head}")
    return tuple(layout.blocks)


def parse_part(text: str) -> BlockSpec:
    """Read one front end or head, such as 'patch[size=4]'. Raises LayoutError."""
    blocks = parse_blocks(text)
    if len(blocks) != 1 or blocks[0].branches:
        raise LayoutError(f"{_named(text)} must be one kind with its options, such as 'patch[size=4]'")
    return blocks[0]


def format_layout(layout: Layout) -> str:
    return _layout_text(layout, _at_a_unit)


def format_blocks(blocks: Sequence[BlockSpec]) -> str:
    """Write the shortest-motif-first text: at each block the repetition that covers most, if any, begun at a unit."""
    return _blocks_text(blocks, _at_a_unit)


# ---- writing -----------------------------------------------------------------------------------------------------

# Of blocks whose first `period * times` are a repetition: how many to write before it begins
_Start = Callable[[Sequence[BlockSpec], int, int], int]


def _earliest(blocks: Sequence[BlockSpec], period: int, times: int) -> int:
    return 0


def _at_a_unit(blocks: Sequence[BlockSpec], period: int, times: int) -> int:
    """The number of blocks to skip so that a unit comes first and the repetition is as long; 0 where none will do."""
    for start in range(period):
        motif = list(blocks[start : start + period])
        if list(blocks[start : start + period * times]) != motif * times:
            return 0
        if motif[0].kind not in CHANNEL_KINDS:
            return start
    return 0


def _layout_text(layout: Layout, start: _Start) -> str:
    front = f"front={layout.front} " if layout.front else ""
    head = f" head={layout.head}" if layout.head else ""
    return f"d={layout.d_model} {front}{_blocks_text(layout.blocks, start)}{head}"


def _block_text(block: BlockSpec, start: _Start) -> str:
    options = ",".join(f"{key}={_format_value(value)}" for key, value in block.options)
    branches = ",".join(_blocks_text(branch, start) for branch in block.branches)
    return block.kind + (f"[{options}]" if options else "") + (f"({branches})" if branches else "")


def _blocks_text(blocks: Sequence[BlockSpec], start: _Start) -> str:
    texts: list[str] = []
    at = 0
    while at < len(blocks):
        period, times = _best_repetition(blocks[at:])
        if times == 1:
            texts.append(_block_text(blocks[at], start))
            at += 1
        elif before := start(blocks[at:], period, times):
            texts.append(_blocks_text(blocks[at : at + before], start))
            at += before
        else:
            texts.append(f"({_blocks_text(blocks[at : at + period], start)})x{times}")
            at += period * times
    return " ".join(texts)


def _best_repetition(blocks: Sequence[BlockSpec]) -> tuple[int, int]:
    """The leading repetition that covers most blocks, as (period, times); (1, 1) if nothing repeats."""
    best = (1, 1)
    for period in range(1, len(blocks) // 2 + 1):
        times = 1
        while blocks[times * period : (times + 1) * period] == blocks[:period]:
            times += 1
        if times > 1 and period * times > best[0] * best[1]:
            best = (period, times)
    return best


# ---- what a block holds ------------------------------------------------------------------------------------------


def walk(block: BlockSpec) -> Iterator[BlockSpec]:
    """Yield the block and all that it holds, however deep, each before what is in it."""
    yield block
    for inner in block.inner:
        yield from walk(inner)


def n_held(blocks: Sequence[BlockSpec]) -> int:
    """The number of blocks with weights of their own: a nest is one, but a loop is what it holds, counted once."""
    return sum(n_held(block.inner) if block.kind == LOOP else 1 for block in blocks)


def n_run(blocks: Sequence[BlockSpec]) -> int:
    """The number of blocks that are run one after another: a nest is one, but a loop is all that its passes run."""
    return sum(loop_times(block) * n_run(block.inner) if block.kind == LOOP else 1 for block in blocks)


def loop_times(block: BlockSpec) -> int:
    """The number of passes of a loop. One that is no whole number is refused where options are read, not here."""
    times = dict(block.options).get("times", LOOP_TIMES)
    return times if isinstance(times, int) else LOOP_TIMES


def n_passes(block: BlockSpec) -> int:
    """The number of times that loops run what is run most often in this block."""
    own = loop_times(block) if block.kind == LOOP else 1
    return own * max(map(n_passes, block.inner), default=1)


def nest_height(block: BlockSpec) -> int:
    """The number of blocks that hold one another, from this one inwards; 0 for one that holds none."""
    return 1 + max(map(nest_height, block.inner)) if block.inner else 0


def skeleton(block: BlockSpec) -> BlockSpec:
    """Strip a block, and all that it holds, of every option."""
    return BlockSpec(block.kind, (), block.branches).with_inner([skeleton(inner) for inner in block.inner])


def flat_options(block: BlockSpec) -> dict[str, OptionValue]:
    """The options of the block and of all that it holds, by path: 'fuse', 'attn.n_heads', 'attn_2.n_heads'."""
    flat = dict(block.options)
    for name, inner in inner_names(block):
        flat.update({f"{name}.{path}": value for path, value in flat_options(inner).items()})
    return flat


def with_flat_options(block: BlockSpec, flat: Mapping[str, OptionValue]) -> BlockSpec:
    """Set the options of a block with the same skeleton; the inverse of flat_options."""
    own = {path: value for path, value in flat.items() if "." not in path}
    inner = [
        with_flat_options(
            inner, {path.removeprefix(f"{name}."): flat[path] for path in flat if path.startswith(f"{name}.")}
        )
        for name, inner in inner_names(block)
    ]
    return BlockSpec(block.kind, tuple(sorted(own.items())), block.branches).with_inner(inner)


def inner_names(block: BlockSpec) -> list[tuple[str, BlockSpec]]:
    """Name each block that this one holds directly: its kind, numbered from the second on."""
    if not block.branches:
        return []
    seen: dict[str, int] = {}
    names = []
    for inner in block.inner:
        seen[inner.kind] = seen.get(inner.kind, 0) + 1
        names.append(inner.kind if seen[inner.kind] == 1 else f"{inner.kind}_{seen[inner.kind]}")
    return list(zip(names, block.inner, strict=True))


# ---- reading -----------------------------------------------------------------------------------------------------


@dataclass
class _Open:
    """An open parenthesis: a group to be repeated, or what belongs to `nest`."""

    nest: BlockSpec | None = None
    branches: list[tuple[BlockSpec, ...]] = field(default_factory=list)  # those that a comma has ended
    blocks: list[BlockSpec] = field(default_factory=list)
    size: int = 0  # blocks in all of these, with all that they hold


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.d_model: int | None = None
        self.front: BlockSpec | None = None
        self.head: BlockSpec | None = None
        self.stack = [_Open()]

    @property
    def blocks(self) -> list[BlockSpec]:
        return self.stack[0].blocks

    def read(self) -> "_Reader":
        if len(self.text) > MAX_TEXT:
            raise self._error(f"has {len(self.text):,} characters, at most {MAX_TEXT:,}")
        at = 0
        while at < len(self.text):
            match = _TOKEN.match(self.text, at)
            if match is None:
                raise self._error(f"cannot read {self.text[at : at + 12]!r} at character {at + 1}; {_EXAMPLE}")
            self._take(match)
            at = match.end()
        if len(self.stack) > 1:
            raise self._error(f"a '(' is not closed; {_EXAMPLE}")
        if not self.blocks:
            raise LayoutError(f"layout {_named(self.text)} has no blocks; {_EXAMPLE}")
        return self

    def _take(self, match: re.Match[str]) -> None:
        if match["width"]:
            if self.d_model is not None or match.start() != len(self.text) - len(self.text.lstrip()):
                raise self._error(f"{match['width']!r} must come once and first")
            self.d_model = int(match["width"][2:])
        elif match["open"]:
            self._refuse_after_head("(")
            self.stack.append(_Open())
        elif match["comma"]:
            self._end_branch()
        elif match["close"]:
            self._close(match)
        elif match["role"]:
            self._set_part(match["role"], _parse_block(match["block"]), nested=bool(match["nest"]))
        elif match["block"]:
            self._refuse_after_head(match["block"])
            self._add(_parse_block(match["block"]), nested=bool(match["nest"]))

    def _add(self, block: BlockSpec, *, nested: bool) -> None:
        if nested:
            if sum(opened.nest is not None for opened in self.stack) >= MAX_NESTS:
                raise self._error(f"more than {MAX_NESTS} blocks hold one another")
            self.stack.append(_Open(nest=block))
        else:
            self._extend([block], 1)

    def _set_part(self, role: str, part: BlockSpec, *, nested: bool) -> None:
        if nested or len(self.stack) > 1:
            raise self._error(f"{role}={part.kind} neither holds blocks nor stands in parentheses")
        if role == "front" and (self.blocks or self.front or self.head):
            raise self._error("'front=' must come once, before the blocks")
        if role == "head" and (self.head or not self.blocks):
            raise self._error("'head=' must come once, after the blocks")
        setattr(self, role, part)

    def _refuse_after_head(self, what: str) -> None:
        if self.head:
            raise self._error(f"nothing may stand behind the head, got {quoted(what)}")

    def _end_branch(self) -> None:
        open_ = self.stack[-1]
        if open_.nest is None:
            raise self._error(f"a ',' stands outside of a block's parentheses; {_EXAMPLE}")
        if not open_.blocks:
            raise self._error(f"{open_.nest.kind}(…) has an empty branch")
        open_.branches.append(tuple(open_.blocks))
        open_.blocks = []

    def _close(self, match: re.Match[str]) -> None:
        if len(self.stack) == 1:
            raise self._error(f"a ')' has no '('; {_EXAMPLE}")
        nest = self.stack[-1].nest
        if nest is not None:
            self._end_branch()
        open_ = self.stack.pop()
        times = int(match["times"] or 1)
        size = open_.size
        if nest is not None:
            group = [replace(nest, branches=tuple(open_.branches))]
            size += 1
        elif match["times"] is None:
            at = match.start() + 1
            raise self._error(f"cannot read ')' at character {at} without a repetition such as 'x2'; {_EXAMPLE}")
        else:
            group = open_.blocks
        if not group or times < 1:
            raise self._error("a group needs blocks and a repetition of at least x1")
        self._extend(group, size, times)

    def _extend(self, group: list[BlockSpec], size: int, times: int = 1) -> None:
        """Add a group of `size` blocks so many times, counted before any is made."""
        open_ = self.stack[-1]
        open_.size += size * times
        if open_.size > MAX_BLOCKS:
            raise LayoutError(f"layout {_named(self.text)} has more than {MAX_BLOCKS} blocks")
        open_.blocks.extend(group * times)

    def _error(self, reason: str) -> LayoutError:
        return LayoutError(f"layout {_named(self.text)}: {reason}")


def _named(text: str) -> str:
    return quoted(text, most=200)  # layouts are longer than names


def _parse_block(text: str) -> BlockSpec:
    kind, _, options_text = text.removesuffix("]").partition("[")
    options: dict[str, OptionValue] = {}
    for pair in filter(None, (part.strip() for part in options_text.split(","))):
        key, equals, value = (piece.strip() for piece in pair.partition("="))
        if not (key and equals and value):
            raise LayoutError(f"block {_named(text)}: {quoted(pair)} is not an option; write it like 'kernel=4'")
        if key in options:
            raise LayoutError(f"block {_named(text)} sets {quoted(key)} twice")
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
