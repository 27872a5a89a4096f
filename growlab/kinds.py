"""Block kinds as data: their role, options and cost. No torch, so that a search can reason about them.

A kind is registered by the one file in growlab/blocks/ that implements it; importing
growlab.blocks fills the table.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from typing import Any, Literal, Protocol, TypeVar

from growlab.errors import LayoutError, UnknownName
from growlab.layout import BlockSpec, Layout, OptionValue
from growlab.registry import Registry

Role = Literal["sequence", "channel"]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one block costs for one sequence of T tokens, forward only."""

    n_params: int
    matmul_flops: int  # matrix products and convolutions; equals torch's counter with the MATH attention backend
    other_flops: int  # scans, norms and gates, which no counter sees
    activations: int  # numbers kept for the backward pass
    state_size: int  # numbers carried from token to token when decoding at position T
    dropped_activations: int = 0  # numbers kept besides where dropout acts inside the mixer

    @property
    def flops(self) -> int:
        return self.matmul_flops + self.other_flops


class Options(Protocol):
    """A frozen dataclass of a kind's options; `check` raises LayoutError when they do not fit the width."""

    def check(self, d_model: int) -> None: ...


def option(default: OptionValue, *, search: tuple[OptionValue, ...], help: str) -> Any:
    """A field of an Options dataclass: its default, the values a search draws from, and a line of help."""
    return field(default=default, metadata={"search": search, "help": help})


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One registered block kind."""

    name: str
    role: Role  # a sequence mixer moves information between tokens, a channel mixer does not
    summary: str
    options: type[Any]  # satisfies Options
    cost: Callable[[int, Any, int], Cost]  # (d_model, options, seq_len)
    mixer: type[Any]  # the torch module; opaque here

    def option_fields(self) -> dict[str, Field[Any]]:
        return {each.name: each for each in fields(self.options)}

    def read_options(self, spec: BlockSpec, d_model: int) -> Any:
        """The kind's options of a block, defaults filled in and checked. Raises LayoutError, UnknownName."""
        options = self.options(**{key: self.read_option(key, value) for key, value in spec.options})
        options.check(d_model)
        return options

    def read_option(self, key: str, value: OptionValue) -> OptionValue:
        """One option's value in the type of its default. Raises LayoutError, UnknownName."""
        known = self.option_fields()
        if key not in known:
            raise UnknownName(f"option of block kind {self.name!r}", key, known)
        default = known[key].default
        assert default is not MISSING, f"option {key!r} of {self.name!r} has no default"
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if type(value) is not type(default):
            wanted = f"of type {type(default).__name__}, like its default {default}"
            raise LayoutError(f"{self.name}[{key}={value}]: {key} must be {wanted}")
        return value


KINDS: Registry[Kind] = Registry("block kind")


def register_block(
    name: str, *, role: Role, summary: str, options: type[Any], cost: Callable[[int, Any, int], Cost]
) -> Callable[[type[T]], type[T]]:
    """Class decorator for a mixer: adds the kind to the table."""

    def add(mixer: type[T]) -> type[T]:
        KINDS.add(name, Kind(name=name, role=role, summary=summary, options=options, cost=cost, mixer=mixer))
        return mixer

    return add


def complete(layout: Layout, kinds: Mapping[str, Kind] = KINDS) -> Layout:
    """The same layout with every option written out. Raises UnknownName, LayoutError."""
    return replace(layout, blocks=tuple(complete_block(spec, layout.d_model, kinds) for spec in layout.blocks))


def complete_block(spec: BlockSpec, d_model: int, kinds: Mapping[str, Kind] = KINDS) -> BlockSpec:
    options = kinds[spec.kind].read_options(spec, d_model)
    return BlockSpec(spec.kind, tuple(sorted(asdict(options).items())))


def shorten(layout: Layout, kinds: Mapping[str, Kind] = KINDS) -> Layout:
    """The same layout with options that equal their defaults left out: the form that people read."""
    return replace(layout, blocks=tuple(shorten_block(spec, kinds) for spec in layout.blocks))


def shorten_block(spec: BlockSpec, kinds: Mapping[str, Kind] = KINDS) -> BlockSpec:
    known = kinds[spec.kind].option_fields()
    return replace(spec, options=tuple((key, value) for key, value in spec.options if value != known[key].default))


def units(blocks: tuple[BlockSpec, ...], kinds: Mapping[str, Kind] = KINDS) -> tuple[tuple[BlockSpec, ...], ...]:
    """Blocks grouped into what growth copies: a sequence mixer with the channel mixers that follow it.

    Channel mixers before the first sequence mixer are a unit of their own.
    """
    groups: list[list[BlockSpec]] = []
    for spec in blocks:
        if kinds[spec.kind].role == "sequence" or not groups:
            groups.append([])
        groups[-1].append(spec)
    return tuple(tuple(group) for group in groups)
