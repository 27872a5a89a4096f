"""Which blocks a study may draw: its kinds, the values of their options, and what fits a width."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from random import Random
from typing import Any

from growlab.errors import LayoutError
from growlab.kinds import Kind, Role, shorten_block
from growlab.layout import BlockSpec, Layout, OptionValue, format_blocks
from growlab.study import LayoutSpace

# Draws that ignore the width before the fitting combinations are listed one by one.
_BLIND_DRAWS = 32


def option_values(space: LayoutSpace, kind: Kind) -> dict[str, tuple[OptionValue, ...]]:
    """Every option of a kind with the values to draw from: the study's, else the kind's own, else its default.

    Raises UnknownName or LayoutError for an option or a value that the kind does not know.
    """
    own: dict[str, tuple[Any, ...]] = {
        name: known.metadata.get("search") or (known.default,) for name, known in kind.option_fields().items()
    }
    values = sorted({**own, **space.blocks[kind.name]}.items())
    return {name: tuple(kind.read_option(name, value) for value in each) for name, each in values}


@dataclass(frozen=True)
class Menu:
    """A study's layout space joined with the table of kinds. Names are sorted: the order of a file decides nothing."""

    space: LayoutSpace
    kinds: Mapping[str, Kind]

    @cached_property
    def values(self) -> dict[str, dict[str, tuple[OptionValue, ...]]]:
        """Kind to option to values, for the kinds of the study."""
        return {name: option_values(self.space, self.kinds[name]) for name in sorted(self.space.blocks)}

    def of_role(self, role: Role) -> list[str]:
        """The study's kinds of a role."""
        return [name for name in self.values if self.kinds[name].role == role]

    def role(self, block: BlockSpec) -> Role:
        return self.kinds[block.kind].role

    def fits(self, block: BlockSpec, d_model: int) -> bool:
        """Whether the block's options agree with the width and with each other."""
        try:
            self.kinds[block.kind].read_options(block, d_model)
        except LayoutError:
            return False
        return True

    def fitting(self, kind: str, d_model: int) -> Iterator[BlockSpec]:
        """Every combination of a kind's options that fits the width."""
        for combination in product(*self.values[kind].values()):
            block = BlockSpec(kind, tuple(zip(self.values[kind], combination, strict=True)))
            if self.fits(block, d_model):
                yield block

    def draw(self, rng: Random, kind: str, d_model: int) -> BlockSpec:
        """A block of the kind with options drawn at random, evenly over the combinations that fit the width."""
        for _ in range(_BLIND_DRAWS):
            block = BlockSpec(kind, tuple((name, rng.choice(each)) for name, each in self.values[kind].items()))
            if self.fits(block, d_model):
                return block
        return rng.choice(list(self.fitting(kind, d_model)))

    def holds(self, block: BlockSpec, d_model: int) -> bool:
        """Whether the study could have drawn the block: its kind, all its options, their values, its fit."""
        values = self.values.get(block.kind)
        if values is None or [name for name, _ in block.options] != list(values):
            return False
        return all(value in values[name] for name, value in block.options) and self.fits(block, d_model)

    def adapt(self, rng: Random, block: BlockSpec, d_model: int) -> BlockSpec:
        """The block itself where the study could draw it at the width, else one of its kind that is most like it."""
        if self.holds(block, d_model):
            return block
        draws = [self.draw(rng, block.kind, d_model) for _ in range(_BLIND_DRAWS)]
        return max(draws, key=lambda each: len(set(each.options) & set(block.options)))

    def contains(self, layout: Layout) -> bool:
        """Whether the study could have drawn the layout."""
        low, high = self.space.depth
        return (
            layout.d_model in self.space.d_model
            and low <= layout.depth <= high
            and all(self.holds(block, layout.d_model) for block in layout.blocks)
            and self.role(layout.blocks[0]) == "sequence"
        )

    def short(self, *blocks: BlockSpec) -> str:
        """Blocks as people read them: options that equal their defaults are left out."""
        return format_blocks([shorten_block(block, self.kinds) for block in blocks])
