"""Which blocks a study may draw: its kinds, the values of their options, and what fits a width.

An entry of a menu is a kind, or a nest with what it holds, such as 'mix(attn,ssm)'; it is named by its skeleton, the
text without any option. Options go by path: 'n_heads', or 'attn.n_heads' inside a nest.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from math import prod
from random import Random
from typing import Any, Literal, TypeVar

from growlab.errors import LayoutError, UnknownName
from growlab.kinds import Kind, Role, complete_block, complete_part, role_of, shorten_block
from growlab.layout import (
    BlockSpec,
    Layout,
    OptionValue,
    flat_options,
    format_blocks,
    inner_names,
    parse_blocks,
    parse_part,
    skeleton,
    walk,
    with_flat_options,
)
from growlab.search.kept import Kept
from growlab.study import PLAIN, FromLayer, LayoutSpace

T = TypeVar("T")

# Draws that ignore the width before the fitting combinations are listed one by one.
_BLIND_DRAWS = 32

Values = dict[str, tuple[OptionValue, ...]]  # option, by path, to the values to draw from

# A search asks the same few questions of the same few blocks thousands of times.
_MOST_KEPT = 1 << 13
_kept: Callable[[Callable[..., T]], Callable[..., T]] = lru_cache(maxsize=_MOST_KEPT)


def read_entry(text: str) -> BlockSpec:
    """A key of layouts.blocks. Raises LayoutError unless it is one block."""
    blocks = parse_blocks(text)
    if len(blocks) != 1:
        raise LayoutError(f"layouts.blocks: {text!r} must be one block, such as 'attn' or 'mix(attn,ssm)'")
    return blocks[0]


def entry_values(space: LayoutSpace, key: str, kinds: Mapping[str, Kind]) -> Values:
    """Every option of an entry and of all that it holds with the values to draw from.

    They are what the study says of the entry, else what is written in its key, else what the study says of a kind
    that stands in it, else the kind's own list, else its default. Raises UnknownName or LayoutError for an option or a
    value that is not known.
    """
    entry = read_entry(key)
    values = _own_values(space, entry, kinds, top=True)
    values.update({path: (value,) for path, value in flat_options(entry).items()})
    for path in space.blocks[key]:
        if path not in values:
            raise UnknownName(f"option of block kind {key!r}", path, values)
    values.update(space.blocks[key])
    return {path: tuple(_read(entry, path, value, kinds) for value in values[path]) for path in sorted(values)}


def _own_values(space: LayoutSpace, block: BlockSpec, kinds: Mapping[str, Kind], *, top: bool = False) -> Values:
    """As the study says elsewhere, or as the kinds say."""
    own: dict[str, tuple[Any, ...]] = {
        name: known.metadata.get("search") or (known.default,)
        for name, known in kinds[block.kind].option_fields().items()
    }
    if not top and not block.branches:
        own.update(space.blocks.get(block.kind, {}))
    for name, inner in inner_names(block):
        own.update({f"{name}.{path}": each for path, each in _own_values(space, inner, kinds).items()})
    return own


def _kinds_in(block: BlockSpec, prefix: str = "") -> Iterator[tuple[str, str]]:
    """The path of the block and of each that it holds, '' for itself, with its kind."""
    yield prefix, block.kind
    for name, inner in inner_names(block):
        yield from _kinds_in(inner, f"{prefix}.{name}" if prefix else name)


def _read(block: BlockSpec, path: str, value: OptionValue, kinds: Mapping[str, Kind]) -> OptionValue:
    *holders, option = path.split(".")
    for name in holders:
        block = dict(inner_names(block))[name]
    return kinds[block.kind].read_option(option, value)


@dataclass(frozen=True)
class Menu:
    """A study's layout space joined with the table of kinds. Names are sorted: the order of a file decides nothing."""

    space: LayoutSpace
    kinds: Mapping[str, Kind]

    @cached_property
    def entries(self) -> dict[str, BlockSpec]:
        """Skeletons of what the study draws, by name."""
        found: dict[str, BlockSpec] = {}
        for key in sorted(self.space.blocks):
            block = skeleton(read_entry(key))
            if str(block) in found:
                raise LayoutError(f"layouts.blocks names {block} twice; give its options one list of values each")
            found[str(block)] = block
        return found

    @cached_property
    def values(self) -> dict[str, Values]:
        """Entry to option to values."""
        keys = {str(skeleton(read_entry(key))): key for key in self.space.blocks}
        return {name: entry_values(self.space, keys[name], self.kinds) for name in self.entries}

    @cached_property
    def rule(self) -> FromLayer | None:
        """layouts.from_layer, entries by their names."""
        rule = self.space.from_layer
        if rule is None:
            return None
        below, above = (tuple(str(skeleton(read_entry(key))) for key in keys) for keys in (rule.below, rule.above))
        return FromLayer(layer=rule.layer, below=below, above=above)

    @cached_property
    def parts(self) -> Callable[[Literal["front", "head"], int], list[BlockSpec | None]]:
        """The study's front ends or heads that fit the width; None for the plain one."""
        return _kept(self._parts)

    def _parts(self, place: Literal["front", "head"], d_model: int) -> list[BlockSpec | None]:
        found: list[BlockSpec | None] = []
        for text in getattr(self.space, place):
            with suppress(LayoutError):
                found.append(None if text == PLAIN else complete_part(parse_part(text), place, d_model, self.kinds))
        return found

    @property
    def has_parts(self) -> bool:
        """Whether the study draws front ends or heads: where it does not, its draws are those of an older growlab."""
        return {*self.space.front, *self.space.head} != {PLAIN}

    @cached_property
    def weights(self) -> dict[str, float]:
        """The odds of each entry; {} where a study says nothing of them, and all are alike."""
        if not self.space.weights:
            return {}
        said = {str(skeleton(read_entry(key))): weight for key, weight in self.space.weights.items()}
        return {name: said.get(name, 1.0) for name in self.entries}

    def choose(self, rng: Random, names: Sequence[str]) -> str:
        """One of these entries, by their odds."""
        return rng.choices(names, [self.weights[name] for name in names])[0] if self.weights else rng.choice(names)

    @cached_property
    def required(self) -> list[str]:
        """The entries that have a kind of layouts.at_least_one_of, or hold one."""
        return [name for name, block in self.entries.items() if self.is_required(block)]

    def is_required(self, block: BlockSpec) -> bool:
        return any(held.kind in self.space.at_least_one_of for held in walk(block))

    def has_required(self, layout: Layout) -> bool:
        """Whether a block of layouts.at_least_one_of is there, or none is asked for."""
        return not self.space.at_least_one_of or any(map(self.is_required, layout.blocks))

    @cached_property
    def of_role(self) -> Callable[[Role], list[str]]:
        """The study's entries of a role."""
        return _kept(lambda role: [name for name, block in self.entries.items() if self.role(block) == role])

    @cached_property
    def role(self) -> Callable[[BlockSpec], Role]:
        return _kept(lambda block: role_of(block, self.kinds))

    @cached_property
    def name(self) -> Callable[[BlockSpec], str]:
        """Of the entry that the block is one of, whether the study has it or not."""
        return _kept(lambda block: str(skeleton(block)))

    @cached_property
    def options(self) -> Callable[[BlockSpec], dict[str, OptionValue]]:
        """All options of the block and of what it holds, by path; not to be changed."""
        return _kept(flat_options)

    @cached_property
    def changes(self) -> Callable[[BlockSpec], list[tuple[str, OptionValue, OptionValue]]]:
        """What can be changed in the block, whether it then fits or not: option, value and another one."""
        return _kept(
            lambda block: [
                (path, old, new)
                for path, old in sorted(self.options(block).items())
                for new in self.values[self.name(block)][path]
                if new != old
            ]
        )

    @cached_property
    def with_option(self) -> Callable[[BlockSpec, str, OptionValue], BlockSpec]:
        """The block with another value of one option: the same object for the same change."""
        return lru_cache(maxsize=_MOST_KEPT, typed=True)(
            lambda block, path, value: with_flat_options(block, {**flat_options(block), path: value})
        )

    @cached_property
    def others(self) -> Callable[[BlockSpec], list[str]]:
        """The entries of the block's role but its own."""
        return _kept(lambda block: [name for name in self.of_role(self.role(block)) if name != self.name(block)])

    @cached_property
    def fits(self) -> Callable[[BlockSpec, int], bool]:
        """Whether the block's options agree with the width and with each other."""
        return _kept(self._fits)

    @cached_property
    def holds(self) -> Callable[[BlockSpec, int], bool]:
        """Whether the study could have drawn the block: its entry, all its options, their values, its fit."""
        return _kept(self._holds)

    def _fits(self, block: BlockSpec, d_model: int) -> bool:
        try:
            complete_block(block, d_model, self.kinds)
        except LayoutError:
            return False
        return True

    def fitting(self, name: str, d_model: int) -> Iterator[BlockSpec]:
        """Every combination of an entry's options that fits the width."""
        if self.entries[name].branches:
            for chosen in product(*self._fitting_parts(name, d_model)):
                yield self._block(name, {path: value for options in chosen for path, value in options.items()})
            return
        for combination in product(*self.values[name].values()):
            block = self._block(name, dict(zip(self.values[name], combination, strict=True)))
            if self.fits(block, d_model):
                yield block

    def n_fitting(self, name: str, d_model: int) -> int:
        """The number of combinations of an entry's options that fit the width."""
        if self.entries[name].branches:
            return prod(map(len, self._fitting_parts(name, d_model)))
        return sum(1 for _ in self.fitting(name, d_model))

    def draw(self, rng: Random, name: str, d_model: int) -> BlockSpec:
        """A block of the entry with options drawn at random, evenly over the combinations that fit the width."""
        for _ in range(_BLIND_DRAWS):
            block = self._made(name, *[rng.choice(each) for each in self.values[name].values()])
            if self.fits(block, d_model):
                return block
        if self.entries[name].branches:  # so many combinations cannot be listed, those of each block can
            chosen = [rng.choice(part) for part in self._fitting_parts(name, d_model)]
            return self._block(name, {path: value for options in chosen for path, value in options.items()})
        return rng.choice(list(self.fitting(name, d_model)))

    def _fitting_parts(self, name: str, d_model: int) -> list[list[dict[str, OptionValue]]]:
        """For a nest and each block in it the combinations of its own options that fit: they fit together, too."""
        values, parts = self.values[name], []
        for prefix, kind in _kinds_in(self.entries[name]):
            own = {path: each for path, each in values.items() if path.rpartition(".")[0] == prefix}
            combinations = [dict(zip(own, each, strict=True)) for each in product(*own.values())]
            parts.append([each for each in combinations if self._fits_alone(kind, each, d_model)])
        return parts

    def _fits_alone(self, kind: str, options: Mapping[str, OptionValue], d_model: int) -> bool:
        own = {path.rpartition(".")[2]: value for path, value in options.items()}
        try:
            self.kinds[kind].options(**own).check(d_model)
        except LayoutError:
            return False
        return True

    @cached_property
    def _made(self) -> Callable[..., BlockSpec]:
        """The block of an entry with a value for each of its options: the same object for the same values."""
        return lru_cache(maxsize=_MOST_KEPT, typed=True)(
            lambda name, *chosen: self._block(name, dict(zip(self.values[name], chosen, strict=True)))
        )

    def _block(self, name: str, options: Mapping[str, OptionValue]) -> BlockSpec:
        return with_flat_options(self.entries[name], options)

    def _holds(self, block: BlockSpec, d_model: int) -> bool:
        values, options = self.values.get(self.name(block)), flat_options(block)
        if values is None or options.keys() != values.keys():
            return False
        return all(value in values[path] for path, value in options.items()) and self.fits(block, d_model)

    def adapt(self, rng: Random, block: BlockSpec, d_model: int) -> BlockSpec:
        """The block itself where the study could draw it at the width, else one of its entry that is most like it."""
        if self.holds(block, d_model):
            return block
        draws = [self.draw(rng, self.name(block), d_model) for _ in range(_BLIND_DRAWS)]
        options = flat_options(block).items()
        return max(draws, key=lambda each: len(flat_options(each).items() & options))

    @cached_property
    def contains(self) -> Callable[[Layout], bool]:
        """Whether the study could have drawn the layout."""
        return _kept(self._contains)

    def _contains(self, layout: Layout) -> bool:
        low, high = self.space.depth
        return (
            layout.d_model in self.space.d_model
            and low <= layout.depth <= high
            and all(self.holds(block, layout.d_model) for block in layout.blocks)
            and self.role(layout.blocks[0]) == "sequence"
            and layout.front in self.parts("front", layout.d_model)
            and layout.head in self.parts("head", layout.d_model)
            and not min(map(len, self.misplaced(layout).values()), default=0)
            and self.has_required(layout)
        )

    def misplaced(self, layout: Layout) -> dict[int, list[int]]:
        """For each k of layouts.from_layer the places of sequence mixers on its wrong side; {} without such a rule."""
        if self.rule is None:
            return {}
        mixers = [at for at, block in enumerate(layout.blocks) if self.role(block) == "sequence"]
        return {
            k: [at for n, at in enumerate(mixers) if self.name(layout.blocks[at]) not in self.allowed(n, k)]
            for k in self.rule.layer
        }

    def allowed(self, layer: int, k: int) -> tuple[str, ...]:
        """The entries that may stand in a layer."""
        assert self.rule is not None
        return self.rule.below if layer < k else self.rule.above

    @cached_property
    def short(self) -> Callable[..., str]:
        """Blocks as people read them: options that equal their defaults are left out."""
        return _kept(lambda *blocks: format_blocks([self._shortened(block) for block in blocks]))

    @cached_property
    def _shortened(self) -> Callable[[BlockSpec], BlockSpec]:
        return _kept(lambda block: shorten_block(block, self.kinds))


def menu_of(space: LayoutSpace, kinds: Mapping[str, Kind]) -> Menu:
    """The menu of a space, with what it answered the decision before; another one answers the same."""
    return _MENUS.get(repr((space, id(kinds))), lambda: Menu(space, kinds))


_MENUS: Kept[Menu] = Kept(4)
