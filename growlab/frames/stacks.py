"""The blocks of a trial's layout over its training: as it began, and after each growth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from growlab.errors import GrowlabError
from growlab.kinds import KINDS, Kind
from growlab.layout import BlockSpec, parse, parse_blocks
from growlab.plan import stack_of

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Stack:
    """The blocks of a model from a step on, from the input side; which growth each came with, 0 from the start."""

    step: int
    blocks: tuple[BlockSpec, ...]
    entered: tuple[int, ...]


def blocks_of(layout: str) -> tuple[BlockSpec, ...]:
    """The blocks of a layout's short text; none of a damaged one."""
    try:
        return parse(layout).blocks
    except GrowlabError:
        return ()


def stacks_of(layout: str, events: "pd.DataFrame", kinds: Mapping[str, Kind] = KINDS) -> list[Stack]:
    """The stacks of a trial that began as `layout`, with its growth events by step and position.

    The kinds must be loaded. Where one is not known, or an event cannot be followed, what is known before it.
    """
    try:
        units = [(unit, 0) for unit in stack_of(parse(layout), kinds)]
    except GrowlabError:
        return []
    stacks = [_stack(0, units)]
    for growth, (step, of_growth) in enumerate(events.groupby("step", sort=True), start=1):
        for position, text in zip(of_growth.position, of_growth.unit, strict=True):
            units.insert(int(position), (parse_blocks(text), growth))
        stack = _stack(int(str(step)), units)
        if len(stack.blocks) != int(of_growth.depth_after.iloc[-1]):  # old units became a loop: no stack shows that
            break
        stacks.append(stack)
    return stacks


def _stack(step: int, units: Sequence[tuple[Sequence[BlockSpec], int]]) -> Stack:
    blocks = [(block, growth) for unit, growth in units for block in unit]
    return Stack(step=step, blocks=tuple(b for b, _ in blocks), entered=tuple(g for _, g in blocks))
