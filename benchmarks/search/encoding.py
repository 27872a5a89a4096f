"""A study's space as other optimisers are told it: a list of parameters, each with the condition under which it acts.

    d_model                   a choice, where there are several widths
    depth                     a whole number, where it varies
    kind_0 … kind_9           what stands at each place from the input side; acts where depth is above the place
    kind_3.conv.kernel        an option of what may stand there; acts where kind_3 is conv and acts itself
    train.lr                  a scalar by its full name

The first place offers sequence mixers alone, as a layout's first block is one. A width, a depth or an option of one
value is left out. So every setting of the acting parameters is a layout of the study, and every layout one setting:
but for options that do not fit a width, which there are in the pool alone, where the nearest entry answers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from growlab.domains import Choice, Domain, Fixed, Range, Value
from growlab.layout import BlockSpec, Layout, flat_options, with_flat_options
from growlab.search.menu import Menu

Values = dict[str, Value]  # by a parameter's name


@dataclass(frozen=True, kw_only=True)
class Point:
    """What a search proposes: a layout with every option written out, and the searched scalars by full name."""

    layout: Layout
    params: Mapping[str, Value]

    @property
    def key(self) -> tuple[Layout, tuple[tuple[str, Value], ...]]:
        """Equal for equal points, and hashable."""
        return self.layout, tuple(sorted(self.params.items()))


@dataclass(frozen=True, kw_only=True)
class Parameter:
    name: str
    domain: Choice | Range
    needs: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)  # acts where each of these has such a value

    def acts(self, values: Mapping[str, Value]) -> bool:
        return all(values.get(name) in wanted for name, wanted in self.needs.items())

    @property
    def is_option(self) -> bool:
        """Whether it is an option of a block: kind_3.conv.kernel."""
        return self.name.startswith("kind_") and "." in self.name

    @property
    def is_ordered(self) -> bool:
        """Whether its values are numbers: of a choice between numbers an optimiser is told the order."""
        return isinstance(self.domain, Range) or all(type(value) in (int, float) for value in self.domain.values)


@dataclass(frozen=True)
class Encoding:
    menu: Menu
    scalars: Mapping[str, Domain]  # of the study, by full name

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """All of them, each after those that it needs."""
        return (*self._shape(), *(known for at in range(self._deepest) for known in self._place(at)), *self._searched())

    @property
    def _deepest(self) -> int:
        return self.menu.space.depth[1]

    def _shape(self) -> Iterator[Parameter]:
        low, high = self.menu.space.depth
        if len(self.menu.space.d_model) > 1:
            yield Parameter(name="d_model", domain=Choice(values=self.menu.space.d_model))
        if low < high:
            yield Parameter(name="depth", domain=Range(low=low, high=high))

    def _place(self, at: int) -> Iterator[Parameter]:
        low, high = self.menu.space.depth
        needs: dict[str, tuple[Value, ...]] = {"depth": tuple(range(at + 1, high + 1))} if at >= low else {}
        names = tuple(self.menu.values) if at else tuple(self.menu.of_role("sequence"))
        yield Parameter(name=f"kind_{at}", domain=Choice(values=names), needs=needs)
        for name in names:
            for path, values in self.menu.values[name].items():
                if len(values) > 1:
                    option = f"kind_{at}.{name}.{path}"
                    yield Parameter(name=option, domain=Choice(values=values), needs=needs | {f"kind_{at}": (name,)})

    def _searched(self) -> Iterator[Parameter]:
        for name, domain in self.scalars.items():
            if not isinstance(domain, Fixed):
                yield Parameter(name=name, domain=domain)

    def decode(self, values: Mapping[str, Value]) -> Point:
        """The point of a setting; what does not act in it is not read."""
        low, _ = self.menu.space.depth
        d_model = int(values.get("d_model", self.menu.space.d_model[0]))
        blocks = tuple(self._block(at, values) for at in range(int(values.get("depth", low))))
        params = {known.name: values[known.name] for known in self._searched()}
        return Point(layout=Layout(d_model, blocks), params=params)

    def _block(self, at: int, values: Mapping[str, Value]) -> BlockSpec:
        name = str(values[f"kind_{at}"])
        options = {
            path: values[f"kind_{at}.{name}.{path}"] if len(offered) > 1 else offered[0]
            for path, offered in self.menu.values[name].items()
        }
        return with_flat_options(self.menu.entries[name], options)

    def encode(self, point: Point) -> Values:
        """The setting of a point, acting parameters alone; the inverse of decode."""
        values: Values = {"d_model": point.layout.d_model, "depth": point.layout.depth, **point.params}
        for at, block in enumerate(point.layout.blocks):
            name = values[f"kind_{at}"] = self.menu.name(block)
            values |= {f"kind_{at}.{name}.{path}": value for path, value in flat_options(block).items()}
        return {known.name: values[known.name] for known in self.parameters if known.name in values}
