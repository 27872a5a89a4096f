"""What the model sees of a configuration: which block stands where, what there is of each, and its numbers.

Everything that is counted is a small whole number over a power of two, so that a distance is the same number in
whatever order it is summed up: a decision does not depend on how many threads a machine has.

Legend: n configurations, u different layouts among them, p places, k columns of layouts, s of scalars.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, pairwise

import numpy as np
from scipy.spatial.distance import cdist

from growlab.domains import Choice, Domain, Fixed, Value
from growlab.layout import BlockSpec, Layout, flat_options, walk
from growlab.search.configuration import Configuration
from growlab.search.menu import Menu
from growlab.search.repair import PLACES
from growlab.search.scale import scale_of

MOST_PLACES = 12  # from each end; what stands further inside is seen by the counts alone
UNIT = 1 / 4  # what is counted is a multiple of it
_KEPT = 4096  # blocks and values of a scalar of which what was computed is kept
_MOST_APART = 2048  # blocks, up to which all distances between any two are kept
_EDGE = "|"  # stands before the first block of a stack and behind its last one

Array = np.ndarray


@dataclass(frozen=True)
class Group:
    """Columns that say one thing, and share one relevance."""

    name: str
    columns: slice  # of those of scalars, where it is one, else of those of layouts
    sort: str  # 'count', 'number' or 'scalar'


@dataclass(frozen=True)
class Codes:
    """Configurations as arrays; many of them may have the same layout."""

    places: Array  # (u, p), numbers of blocks in the encoding's list; 0: no block
    columns: Array  # (u, k)
    layout: Array  # (n), which of the u layouts each configuration has
    scalars: Array  # (n, s)

    def __len__(self) -> int:
        return len(self.layout)

    @cached_property
    def blocks(self) -> tuple[Array, Array]:
        """The blocks that stand anywhere, by number, and which of them stands at each place (u, p)."""
        return distinct(self.places, int(self.places.max(initial=0)) + 1)

    @cached_property
    def scalar_values(self) -> tuple[Array, Array, list[int]]:
        """The different values in each column, sorted, the first ones of (n, s); which of them each is (n, s); how many
        there are.

        Children have most of their values from a few parents.
        """
        order = np.argsort(self.scalars, axis=0, kind="stable")
        values = np.take_along_axis(self.scalars, order, axis=0)
        is_new = np.ones(values.shape, dtype=bool)
        is_new[1:] = values[1:] != values[:-1]
        rank = np.cumsum(is_new, axis=0) - 1
        which = np.empty_like(rank)
        np.put_along_axis(which, order, rank, axis=0)
        different = np.zeros_like(values)
        np.put_along_axis(different, rank, values, axis=0)
        return different, which, (rank[-1] + 1).tolist()

    def counted(self, columns: slice) -> "Counted":
        """What is counted in some columns; it is kept, as one past is compared with many candidates."""
        key = columns.start, columns.stop
        if key not in self._counted:
            self._counted[key] = Counted.of(self.columns[:, columns])
        return self._counted[key]

    @cached_property
    def _counted(self) -> "dict[tuple[int, int], Counted]":
        return {}

    def chosen(self, at: Array) -> "Codes":
        """Those of the configurations at some places."""
        layouts, which = np.unique(self.layout[at], return_inverse=True)
        return Codes(self.places[layouts], self.columns[layouts], which, self.scalars[at])

    def followed_by(self, others: "Codes") -> "Codes":
        """These, and others behind them."""
        return Codes(
            np.concatenate([self.places, others.places]),
            np.concatenate([self.columns, others.columns]),
            np.concatenate([self.layout, others.layout + len(self.columns)]),
            np.concatenate([self.scalars, others.scalars]),
        )


@dataclass(frozen=True)
class Counted:
    """Multiples of UNIT as steps that each layout goes up, so that of two the smaller one is a product of both."""

    column: Array  # (l), of each step; as many as the highest of any layout has
    level: Array  # (l), to which it leads
    steps: Array  # (u, l), float32, 1 where the layout goes it
    total: Array  # (u), of all columns

    @classmethod
    def of(cls, columns: Array) -> "Counted":
        n_steps = (columns.max(axis=0, initial=0) / UNIT).astype(np.intp)
        column = np.repeat(np.arange(len(n_steps)), n_steps)
        level = 1 + np.arange(len(column)) - np.repeat(np.cumsum(n_steps) - n_steps, n_steps)
        return cls(column, level, _steps(columns, column, level), columns.sum(axis=1))

    def distance(self, others: Array) -> Array:
        """Σ |a − b| = Σ a + Σ b − 2 Σ min(a, b) of other columns (v, k) to these, (v, u); all sums are exact."""
        both = _steps(others, self.column, self.level) @ self.steps.T
        found: Array = np.multiply(both, -2 * UNIT, dtype=np.float64)
        found += self.total
        found += others.sum(axis=1)[:, None]
        return found


def _steps(columns: Array, column: Array, level: Array) -> Array:
    numbers = (columns / UNIT).astype(np.int16)  # a quarter of the memory to look through
    found: Array = (numbers.take(column, axis=1) >= level.astype(np.int16)).astype(np.float32)
    return found


def distinct(numbers: Array, below: int) -> tuple[Array, Array]:
    """The different ones of whole numbers from 0 up to `below`, sorted, and which of them each is."""
    there = np.zeros(below, dtype=bool)
    there[numbers] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[numbers]


class Encoding:
    """The encoding of one study's configurations. Blocks get numbers as they come, and no distance depends on them."""

    def __init__(self, scalars: Mapping[str, Domain], menu: Menu, size_of: Callable[[Layout], int]) -> None:
        """`scalars` are all domains by full name; those that are fixed tell nothing apart."""
        self._menu, self._size_of = menu, size_of
        self._scalars = {name: domain for name, domain in scalars.items() if not isinstance(domain, Fixed)}
        self._numbers = {name: _numbers(domain) for name, domain in self._scalars.items()}
        self._kinds = _kinds_of(menu, menu.space.start_with)
        self._kind_column = {kind: at for at, kind in enumerate(self._kinds)}
        ends = [_EDGE, *self._kinds]
        self._pair_column = {pair: at for at, pair in enumerate((one, other) for one in ends for other in ends)}
        self._option_column = {option: at for at, option in enumerate(_options_of(menu))}
        low, high = menu.space.depth
        self.places = _place_names(high, both_ends=low != high or len(menu.space.start_with) > 0)
        self.groups = [*_groups(self._layout_groups()), *_groups(self._scalar_groups())]
        self.n_columns = sum(n for _, n, _ in self._layout_groups())
        self._at = {group.name: group.columns for group in self.groups}
        self._blocks: dict[BlockSpec, int] = {}  # numbers from 1 on; 0 is no block
        self._specs: list[BlockSpec | None] = [None]
        self._entries: dict[str, int] = {}  # of the menu or not, in the order in which they came, from 1 on
        self._entry_of = [0]
        self._apart = np.zeros((0, 0))  # the distances of all blocks so far
        self._options: list[Array] = [np.zeros(0)]
        self._counts: list[tuple[Array, Array]] = [_adding({})]  # what each block adds to a row
        self._end_numbers = [0]  # of each block's kind among those of pairs, where 0 is an end; -1 for one of none
        self._size_of_number = lru_cache(maxsize=_KEPT)(self._own_size)
        self._size_of_none = lru_cache(maxsize=_KEPT)(self._size_without_blocks)

    def _layout_groups(self) -> Iterator[tuple[str, int, str]]:
        """Name, number of columns and sort."""
        space = self._menu.space
        yield "counts of kinds", len(self._kinds), "count"
        yield "kinds present", len(self._kinds), "count"
        yield "pairs present", len(self._pair_column), "count"
        yield "counts of options", len(self._option_column), "count"
        yield "depth", 1, "number"
        yield "parameters", 1, "number"
        if len(space.d_model) > 1:
            yield "width", 1, "number"
        yield from ((place, n, "count") for place in PLACES if (n := len(getattr(space, place))) > 1)

    def _scalar_groups(self) -> Iterator[tuple[str, int, str]]:
        yield from ((name, _n_columns(domain), "scalar") for name, domain in self._scalars.items())

    def encode(self, configurations: Sequence[Configuration]) -> Codes:
        """Many at a time: one takes numpy as long as a hundred do."""
        layouts = {layout: at for at, layout in enumerate(dict.fromkeys([each.layout for each in configurations]))}
        of_each = np.array([layouts[each.layout] for each in configurations], dtype=np.intp)
        return Codes(*self._encode_layouts(list(layouts)), of_each, self._encode_scalars(configurations))

    def _encode_scalars(self, configurations: Sequence[Configuration]) -> Array:
        """(n, s); what does not act is all zeros."""
        read = [(name, numbers, (0.0,) * _n_columns(self._scalars[name])) for name, numbers in self._numbers.items()]
        found: list[float] = []
        for configuration in configurations:
            values = configuration.params
            for name, numbers, none in read:
                found += numbers(values[name]) if name in values else none
        return np.array(found).reshape(len(configurations), sum([len(none) for *_, none in read]))

    def _encode_layouts(self, layouts: Sequence[Layout]) -> tuple[Array, Array]:
        """The places (u, p) and the columns (u, k) of different layouts."""
        n, k = len(layouts), self.n_columns
        if not n:
            return np.zeros((0, len(self.places)), dtype=np.intp), np.zeros((0, k))
        numbers = [[self._number(block) for block in layout.blocks] for layout in layouts]
        depths = np.array([len(each) for each in numbers])
        block, row = np.array(list(chain.from_iterable(numbers)), dtype=np.intp), np.repeat(np.arange(n), depths)
        columns = self._counted_in(block, row, n)
        columns[self._pairs_in(block, row, depths)] = 1
        columns[:, self._at["kinds present"]] = (columns[:, self._at["counts of kinds"]] > 0) / 2
        columns[:, self._at["pairs present"]] = (columns[:, self._at["pairs present"]] > 0) / 4
        columns[:, self._at["depth"].start :] = list(map(list, map(self._sizes_of, layouts, numbers)))
        return self._placed(block, row, depths), columns

    def _counted_in(self, block: Array, row: Array, n: int) -> Array:
        """What the blocks of n rows add to each, (n, k)."""
        used, which = distinct(block, len(self._specs))
        added = [self._counts[number] for number in used.tolist()]
        n_added = np.array([len(columns) for columns, _ in added])
        first, times = (np.cumsum(n_added) - n_added)[which], n_added[which]
        at = np.arange(times.sum()) + np.repeat(first - (np.cumsum(times) - times), times)
        column, amount = (np.concatenate(each)[at] for each in zip(*added, strict=True))
        cells = np.bincount(np.repeat(row, times) * self.n_columns + column, amount, minlength=n * self.n_columns)
        return cells.reshape(n, self.n_columns)

    def _pairs_in(self, block: Array, row: Array, depths: Array) -> tuple[Array, Array]:
        """The cells of the pairs of neighbours, the ends of each row among them."""
        ends = np.cumsum(depths + 2)
        kind = np.zeros(ends[-1], dtype=np.intp)  # 0 is an end
        kind[np.arange(len(block)) + 2 * row + 1] = np.array(self._end_numbers)[block]
        rows = np.repeat(np.arange(len(depths)), depths + 2)
        known = (kind[:-1] >= 0) & (kind[1:] >= 0) & (rows[:-1] == rows[1:])
        pairs = kind[:-1] * (1 + len(self._kinds)) + kind[1:]
        return rows[:-1][known], self._at["pairs present"].start + pairs[known]

    def _placed(self, block: Array, row: Array, depths: Array) -> Array:
        """The block at each place of each row; 0 where there is none, (u, p)."""
        stacks = np.zeros((len(depths), int(depths.max())), dtype=np.intp)
        above = np.arange(len(block)) - np.repeat(np.cumsum(depths) - depths, depths)
        stacks[row, above] = block
        places = np.array(self.places, dtype=np.intp)
        at = np.where(places < 0, depths[:, None] + places, places)
        there = (at >= 0) & (at < depths[:, None])
        return np.where(there, np.take_along_axis(stacks, np.where(there, at, 0), axis=1), 0)

    def _sizes_of(self, layout: Layout, blocks: Sequence[int]) -> Iterator[float]:
        """The columns from the depth on, in the order of the groups; its parameters as the sum of those of blocks."""
        yield math.log2(layout.depth) / 2
        size = sum(
            [self._size_of_number(block, layout.d_model) for block in blocks], self._size_of_none(layout.d_model)
        )
        yield math.log2(max(size, 1)) / 4
        if "width" in self._at:
            yield math.log2(layout.d_model) / 2
        for place in PLACES:
            if place in self._at:
                known = [(part == getattr(layout, place)) / 2 for part in self._menu.parts(place, layout.d_model)]
                yield from [*known, *[0.0] * (len(getattr(self._menu.space, place)) - len(known))]

    def _counts_of(self, block: BlockSpec) -> dict[int, float]:
        """What the block adds to a row: its kinds and options, and the pairs of neighbours inside of it."""
        kinds, options = self._at["counts of kinds"].start, self._at["counts of options"].start
        found: Counter[int] = Counter()
        for held in walk(block):
            if (column := self._kind_column.get(held.kind)) is not None:
                found[kinds + column] += 1
        for path, value in flat_options(block).items():
            if (column := self._option_column.get((self._menu.name(block), path, value))) is not None:
                found[options + column] += 1
        found.update(column for stack in _stacks_in(block) for column in self._pairs(stack))
        return {column: n / 4 for column, n in found.items()}

    def _pairs(self, stack: Sequence[BlockSpec]) -> list[int]:
        """The columns of the pairs of neighbours in a stack, its ends among them."""
        first, kinds = self._at["pairs present"].start, [_EDGE, *(block.kind for block in stack), _EDGE]
        return [first + self._pair_column[pair] for pair in pairwise(kinds) if pair in self._pair_column]

    def size_of_block(self, block: BlockSpec, d_model: int) -> int:
        """The parameters that a layout has by this block."""
        return self._size_of_number(self._number(block), d_model)

    def _own_size(self, number: int, d_model: int) -> int:
        block = self._specs[number]
        assert block is not None
        return self._size_of(Layout(d_model, (block,))) - self._size_of_none(d_model)

    def _size_without_blocks(self, d_model: int) -> int:
        return self._size_of(Layout(d_model, ()))

    # ---- blocks at places -----------------------------------------------------------------------------------

    def _number(self, block: BlockSpec) -> int:
        known = self._blocks.get(block)
        return self._added(block) if known is None else known

    def _added(self, block: BlockSpec) -> int:
        number = self._blocks[block] = len(self._specs)
        name = self._menu.name(block)
        self._specs.append(block)
        self._entry_of.append(self._entries.setdefault(name, 1 + len(self._entries)))
        self._options.append(np.array(list(self._option_numbers(name, block))))
        self._counts.append(_adding(self._counts_of(block)))
        self._end_numbers.append(self._kind_column.get(block.kind, -2) + 1)
        return number

    def _option_numbers(self, name: str, block: BlockSpec) -> Iterator[float]:
        """For each option of a block its place among the study's values; 1/2 for a value that is none of them."""
        for path, value in flat_options(block).items():
            values = self._menu.values.get(name, {}).get(path, ())
            yield values.index(value) / max(len(values) - 1, 1) if value in values else 0.5

    def block_distances(self, some: Array, others: Array) -> Array:
        """Between two lists of blocks: 1 for other kinds, else half of what their options differ by on average."""
        n = len(self._specs)
        if n > _MOST_APART:
            return self._distances(some, others)
        if (n_known := len(self._apart)) < n:
            new, every = np.arange(n_known, n), np.arange(n)
            apart = np.zeros((n, n))
            apart[:n_known, :n_known] = self._apart
            apart[n_known:] = self._distances(new, every)
            apart[:, n_known:] = apart[n_known:].T
            self._apart = apart
        found: Array = self._apart[some[:, None], others]
        return found

    def _distances(self, some: Array, others: Array) -> Array:
        distances = np.ones((len(some), len(others)))
        entries = np.array(self._entry_of)
        rows, columns = entries[some], entries[others]
        for entry in np.intersect1d(rows, columns):
            row, column = np.flatnonzero(rows == entry), np.flatnonzero(columns == entry)
            mine, theirs = (
                np.array([self._options[number] for number in each]) for each in (some[row], others[column])
            )
            apart = cdist(mine, theirs, "cityblock") / (2 * mine.shape[1]) if mine.shape[1] else 0.0
            distances[row[:, None], column] = apart
        return distances


def _groups(made_of: Iterable[tuple[str, int, str]]) -> Iterator[Group]:
    """Groups of so many columns, one behind the other."""
    start = 0
    for name, n, sort in made_of:
        yield Group(name, slice(start, start + n), sort)
        start += n


def _kinds_of(menu: Menu, start_with: Sequence[str]) -> list[str]:
    """All kinds that may stand in a layout of the study; where it starts with others, every kind there is."""
    if start_with:
        return sorted(menu.kinds)
    return sorted({held.kind for entry in menu.entries.values() for held in walk(entry)})


def _options_of(menu: Menu) -> Iterator[tuple[str, str, Value]]:
    for name, options in menu.values.items():
        for path, values in options.items():
            if len(values) > 1:
                yield from ((name, path, value) for value in values)


def _place_names(deepest: int, *, both_ends: bool) -> list[int]:
    """Places from the input side (0, 1, …) and, where depths differ, from the output side (−1, −2, …)."""
    n = min(deepest, MOST_PLACES)
    return [*range(n), *(range(-1, -1 - n, -1) if both_ends else ())]


def _adding(amounts: Mapping[int, float]) -> tuple[Array, Array]:
    return np.array(list(amounts), dtype=np.intp), np.array(list(amounts.values()))


def _stacks_in(block: BlockSpec) -> Iterator[Sequence[BlockSpec]]:
    """Every branch of the block, and of every nest in it."""
    for branch in block.branches:
        yield branch
        for inner in branch:
            yield from _stacks_in(inner)


# ---- scalars -----------------------------------------------------------------------------------------------------


def _is_named(domain: Domain) -> bool:
    return isinstance(domain, Choice) and any(isinstance(value, str | bool) for value in domain.values)


def _n_columns(domain: Domain) -> int:
    """One for whether it acts, and its number; or one for each name."""
    return 1 + (len(domain.values) if isinstance(domain, Choice) and _is_named(domain) else 1)


def _numbers(domain: Domain) -> Callable[[Value], tuple[float, ...]]:
    """Of a scalar that acts; one that does not is all zeros, and so half a range away from the middle one."""
    if isinstance(domain, Choice) and _is_named(domain):
        values = domain.values
        return lru_cache(maxsize=_KEPT)(lambda value: (0.5, *((known == value) / 2 for known in values)))
    place = scale_of(domain)
    return lru_cache(maxsize=_KEPT)(lambda value: (0.5, place(value) - 0.5))
