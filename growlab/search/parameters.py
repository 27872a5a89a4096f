"""A study's space as other optimisers are told it: a list of parameters, each with the condition under which it acts.

    d_model                   a choice, where there are several widths
    depth                     a whole number, where it varies
    front, head               a choice, where there are several
    kind_0 … kind_9           what stands at each place from the input side; acts where depth is above the place
    kind_3.conv.kernel        an option of what may stand there; acts where kind_3 is conv and acts itself
    train.lr                  a scalar by its full name; one of growth acts as the study says

The first place offers sequence mixers alone, as a layout's first block is one. A width, a depth or an option of one
value is left out. So every layout of the study is one setting of the parameters that act; a setting whose options do
not fit its width, or whose mixers layouts.from_layer forbids, is read as a layout of the study that is close to it.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from random import Random

from growlab.domains import Choice, Domain, Fixed, Range, Value, admits
from growlab.errors import LayoutError
from growlab.kinds import complete_part
from growlab.layout import BlockSpec, Layout, flat_options, parse_part, with_flat_options
from growlab.search.configuration import Configuration
from growlab.search.menu import Menu
from growlab.search.repair import PLACES, Place, repair
from growlab.search.scalars import acts
from growlab.seeds import derived_seed
from growlab.study import PLAIN
from growlab.study.growth_section import DECIDING

Values = dict[str, Value]  # by a parameter's name


@dataclass(frozen=True, kw_only=True)
class Parameter:
    name: str
    domain: Choice | Range
    needs: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)  # acts where each of these has such a value
    fixed: Mapping[str, Value] | None = None  # of a scalar of growth: what the study fixes, beside which it may act

    def acts(self, values: Mapping[str, Value]) -> bool:
        """Whether it changes anything beside these values, which hold all parameters before it that act."""
        if not all(values.get(name) in wanted for name, wanted in self.needs.items()):
            return False
        return self.fixed is None or bool(acts(self.name, {**self.fixed, **values}))

    @property
    def is_scalar(self) -> bool:
        """Whether it is one of the study's numbers, and no part of the layout."""
        return self.name.startswith(("train.", "growth."))

    @property
    def is_option(self) -> bool:
        """Whether it is an option of a block: kind_3.conv.kernel."""
        return self.name.startswith("kind_") and "." in self.name

    @property
    def is_ordered(self) -> bool:
        """Whether its values are numbers: of a choice between numbers an optimiser is told the order."""
        return isinstance(self.domain, Range) or all(type(value) in (int, float) for value in self.domain.values)


@dataclass(frozen=True)
class ParameterSpace:
    menu: Menu
    scalars: Mapping[str, Domain]  # of the study, by full name

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """All of them, each after those that it needs."""
        _, deepest = self.menu.space.depth
        return (*self._shape(), *(known for at in range(deepest) for known in self._place(at)), *self._searched)

    def _shape(self) -> Iterator[Parameter]:
        low, high = self.menu.space.depth
        if len(self.menu.space.d_model) > 1:
            yield Parameter(name="d_model", domain=Choice(values=self.menu.space.d_model))
        if low < high:
            yield Parameter(name="depth", domain=Range(low=low, high=high))
        for place in PLACES:
            if len(texts := getattr(self.menu.space, place)) > 1:
                yield Parameter(name=place, domain=Choice(values=texts))

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

    @cached_property
    def _searched(self) -> tuple[Parameter, ...]:
        """The scalars: those first that decide whether others act."""
        fixed = {name: domain.value for name, domain in self.scalars.items() if isinstance(domain, Fixed)}
        found = [
            Parameter(name=name, domain=domain, fixed=fixed if name.startswith("growth.") else None)
            for name, domain in self.scalars.items()
            if not isinstance(domain, Fixed)
        ]
        deciding = [f"growth.{key}" for key in DECIDING]
        ranks = {name: at for at, name in enumerate(deciding)}
        return tuple(sorted(found, key=lambda known: ranks.get(known.name, len(ranks))))

    # ---- from a setting to a configuration --------------------------------------------------------------------

    def configuration(self, values: Mapping[str, Value]) -> Configuration:
        """What a setting means: a configuration of the study, always the same one."""
        found = self.decode(values)
        layout, _ = repair(Random(derived_seed(found.layout)), found.layout, self.menu)
        return Configuration(layout, found.params)

    def decode(self, values: Mapping[str, Value]) -> Configuration:
        """What a setting says; parameters that do not act in it are not read. Its layout may need a repair.

        Scalars may be missing, what its layout is made of may not.
        """
        low, _ = self.menu.space.depth
        d_model = int(values.get("d_model", self.menu.space.d_model[0]))
        blocks = tuple(self._block(at, values) for at in range(int(values.get("depth", low))))
        front, head = (self._part(place, values, d_model) for place in PLACES)
        return Configuration(Layout(d_model, blocks, front, head), self._acting_scalars(values))

    def _acting_scalars(self, values: Mapping[str, Value]) -> Values:
        found: Values = {}
        for known in self._searched:
            if known.name in values and known.acts(found):
                found[known.name] = values[known.name]
        return {name: found[name] for name in self.scalars if name in found}

    def _block(self, at: int, values: Mapping[str, Value]) -> BlockSpec:
        name = str(values[f"kind_{at}"])
        options = {
            path: values[f"kind_{at}.{name}.{path}"] if len(offered) > 1 else offered[0]
            for path, offered in self.menu.values[name].items()
        }
        return with_flat_options(self.menu.entries[name], options)

    def _part(self, place: Place, values: Mapping[str, Value], d_model: int) -> BlockSpec | None:
        """The front end or head that is asked for, else, where it does not fit the width, the first that does."""
        text = str(values.get(place, getattr(self.menu.space, place)[0]))
        try:
            return self._written_part(text, place, d_model)
        except LayoutError:
            return self.menu.parts(place, d_model)[0]

    def _written_part(self, text: str, place: Place, d_model: int) -> BlockSpec | None:
        return None if text == PLAIN else complete_part(parse_part(text), place, d_model, self.menu.kinds)

    # ---- and back ---------------------------------------------------------------------------------------------

    def setting(self, configuration: Configuration) -> Values | None:
        """The setting that means a configuration; None for one that is not of the study."""
        values = self.encode(configuration)
        asked = [known for known in self.parameters if known.acts(values)]
        if not all(known.name in values and admits(known.domain, values[known.name]) for known in asked):
            return None
        return values if self.decode(values) == configuration else None

    def encode(self, configuration: Configuration) -> Values:
        """The setting of a configuration of the study, acting parameters alone; the inverse of decode."""
        layout = configuration.layout
        values: Values = {"d_model": layout.d_model, "depth": layout.depth, **configuration.params}
        values |= {place: text for place in PLACES if (text := self._text(place, layout)) is not None}
        for at, block in enumerate(layout.blocks):
            name = values[f"kind_{at}"] = self.menu.name(block)
            values |= {f"kind_{at}.{name}.{path}": value for path, value in flat_options(block).items()}
        return {known.name: values[known.name] for known in self.parameters if known.name in values}

    def _text(self, place: Place, layout: Layout) -> str | None:
        """How the study writes the layout's front end or head; None where it does not."""
        for text in getattr(self.menu.space, place):
            with suppress(LayoutError):
                if self._written_part(text, place, layout.d_model) == getattr(layout, place):
                    return str(text)
        return None
