"""Block kinds as data: their role, options and cost. No torch, so that a search can reason about them.

A kind is registered by the one file in growlab/blocks/ that implements it; importing
growlab.blocks fills the table.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeVar

from growlab.errors import LayoutError, UnknownName
from growlab.layout import MOST_PASSES, BlockSpec, Layout, OptionValue, n_passes, parse_blocks, walk
from growlab.registry import Registry

Role = Literal["sequence", "channel"]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of one block for one sequence of T tokens, forward only."""

    n_params: int
    matmul_flops: int  # matrix products and convolutions; equals torch's counter with the MATH attention backend
    other_flops: int  # scans, norms and gates, which no counter sees
    activations: int  # numbers kept for the backward pass
    state_size: int  # numbers carried from token to token when decoding at position T
    dropped_activations: int = 0  # numbers kept besides where dropout acts inside the mixer
    constant_flops: int = 0  # of all FLOPs those through which no gradient passes in training

    @property
    def flops(self) -> int:
        return self.matmul_flops + self.other_flops


class Options(Protocol):
    """A frozen dataclass of a kind's options; `check` raises LayoutError when they do not fit the width."""

    def check(self, d_model: int) -> None: ...


def option(default: OptionValue, *, search: tuple[OptionValue, ...], help: str) -> Any:
    """Declare a field of an Options dataclass: its default, the values a search draws from, and a line of help."""
    return field(default=default, metadata={"search": search, "help": help})


@dataclass(frozen=True, kw_only=True)
class Nesting:
    """The contents of a kind's parentheses: branches of blocks, such as mix(attn,ssm)."""

    example: str  # of what stands in them
    branches: tuple[int, int]  # fewest and most
    length: tuple[int, int]  # blocks of a branch, fewest and most
    whole: bool  # whole blocks, with their norms and residual sums; else their mixers alone
    on_stream: bool = False  # these act on the residual stream itself: there is neither norm nor dropout around them

    def check(self, spec: BlockSpec) -> None:
        """Raise LayoutError for too few, too many, too short or too long branches."""
        counts = [("branches, with a ',' between them", len(spec.branches), self.branches)]
        counts += [("blocks in a branch", len(branch), self.length) for branch in spec.branches]
        for what, got, (fewest, most) in counts:
            if not fewest <= got <= most:
                wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
                like = f"write it like '{spec.kind}({self.example})'"
                raise LayoutError(f"{spec.kind} holds {wanted} {what}, got {got}; {like}")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One registered kind: of a block, or of what stands before and after all blocks."""

    name: str
    # a sequence mixer moves information between tokens, a channel mixer does not, a nest is what it holds
    role: Role | Literal["nest", "front", "head"]
    summary: str
    options: type[Any]  # satisfies Options
    # of a block: (d_model, options, seq_len); of a nest: (d_model, options, seq_len, costs of what it holds, branch
    # by branch); of a front end and a head: (d_model, options, seq_len, vocab_size)
    cost: Callable[..., Cost]
    mixer: type[Any]  # the torch module; opaque here
    nesting: Nesting | None = None

    @property
    def example(self) -> BlockSpec:
        """A block of this kind with every option at its default."""
        (spec,) = parse_blocks(f"{self.name}({self.nesting.example})" if self.nesting else self.name)
        return spec

    @property
    def on_stream(self) -> bool:
        """Whether its blocks act on the residual stream itself; it has no norm then."""
        return self.nesting is not None and self.nesting.on_stream

    def option_fields(self) -> Mapping[str, Field[Any]]:
        return _fields_of(self.options)

    def read_options(self, spec: BlockSpec, d_model: int) -> Any:
        """Read the kind's options of a block, defaults filled in and checked. Raises LayoutError, UnknownName."""
        self.check_held(spec)
        options = self.options(**{key: self.read_option(key, value) for key, value in spec.options})
        options.check(d_model)
        return options

    def check_held(self, spec: BlockSpec) -> None:
        """Raise LayoutError where the block holds what its kind does not, or loops run it too often."""
        if self.nesting:
            self.nesting.check(spec)
            if (n := n_passes(spec)) > MOST_PASSES:
                raise LayoutError(f"{spec.kind} runs a block {n} times, at most {MOST_PASSES} are allowed; lower times")
        elif spec.branches:
            raise LayoutError(f"{self.name} holds no blocks, got {spec}")

    def read_option(self, key: str, value: OptionValue) -> OptionValue:
        """Read one option's value in the type of its default. Raises LayoutError, UnknownName."""
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


# Each block that is read asks for them, once for each of its options.
_fields_of: Callable[..., Mapping[str, Field[Any]]] = lru_cache(maxsize=1 << 10)(
    lambda options: MappingProxyType({field.name: field for field in fields(options)})
)


KINDS: Registry[Kind] = Registry("block kind")


def register_block(
    name: str, *, role: Role, summary: str, options: type[Any], cost: Callable[[int, Any, int], Cost]
) -> Callable[[type[T]], type[T]]:
    """Decorate a mixer's class: add the kind to the table."""
    return _adder(name=name, role=role, summary=summary, options=options, cost=cost)


def register_nest(
    name: str, *, nesting: Nesting, summary: str, options: type[Any], cost: Callable[..., Cost]
) -> Callable[[type[T]], type[T]]:
    """Decorate the class of a mixer that is made of others: add the kind to the table."""
    return _adder(name=name, role="nest", summary=summary, options=options, cost=cost, nesting=nesting)


def register_part(
    name: str, *, role: Literal["front", "head"], summary: str, options: type[Any], cost: Callable[..., Cost]
) -> Callable[[type[T]], type[T]]:
    """Decorate the class of a front end or a head: add the kind to the table."""
    return _adder(name=name, role=role, summary=summary, options=options, cost=cost)


def _adder(**of_kind: Any) -> Callable[[type[T]], type[T]]:
    def add(mixer: type[T]) -> type[T]:
        KINDS.add(of_kind["name"], Kind(mixer=mixer, **of_kind))
        return mixer

    return add


def complete(layout: Layout, kinds: Mapping[str, Kind] = KINDS) -> Layout:
    """Write out every option of a layout. Raises UnknownName, LayoutError."""
    return replace(
        layout,
        blocks=tuple(complete_block(spec, layout.d_model, kinds) for spec in layout.blocks),
        front=complete_part(layout.front, "front", layout.d_model, kinds),
        head=complete_part(layout.head, "head", layout.d_model, kinds),
    )


def complete_block(spec: BlockSpec, d_model: int, kinds: Mapping[str, Kind] = KINDS) -> BlockSpec:
    check_block(spec, kinds)
    return _complete(spec, d_model, kinds)


def check_block(spec: BlockSpec, kinds: Mapping[str, Kind] = KINDS) -> None:
    """Raise LayoutError for what may not stand among blocks, or not where it stands; UnknownName."""
    for inner in walk(spec):
        kind = kinds[inner.kind]
        if kind.role in ("front", "head"):
            raise LayoutError(f"{inner.kind} is no block: write {kind.role}={inner}")
        kind.check_held(inner)


def complete_part(spec: BlockSpec | None, role: str, d_model: int, kinds: Mapping[str, Kind]) -> BlockSpec | None:
    if spec is None:
        return None
    if spec.kind not in kinds or kinds[spec.kind].role != role:
        known = ", ".join(name for name, kind in kinds.items() if kind.role == role)
        raise LayoutError(f"{role}={spec}: {spec.kind} is not a {role}; known: {known}")
    return _complete(spec, d_model, kinds)


def _complete(spec: BlockSpec, d_model: int, kinds: Mapping[str, Kind]) -> BlockSpec:
    options = kinds[spec.kind].read_options(spec, d_model)
    completed = replace(spec, options=tuple(sorted(asdict(options).items())))
    return completed.with_inner([complete_block(inner, d_model, kinds) for inner in spec.inner])


def shorten(layout: Layout, kinds: Mapping[str, Kind] = KINDS) -> Layout:
    """Leave out the options of a layout that equal their defaults: the form that people read."""
    return replace(
        layout,
        blocks=tuple(shorten_block(spec, kinds) for spec in layout.blocks),
        front=layout.front and shorten_block(layout.front, kinds),
        head=layout.head and shorten_block(layout.head, kinds),
    )


def shorten_block(spec: BlockSpec, kinds: Mapping[str, Kind] = KINDS) -> BlockSpec:
    known = kinds[spec.kind].option_fields()
    short = replace(spec, options=tuple((key, value) for key, value in spec.options if value != known[key].default))
    return short.with_inner([shorten_block(inner, kinds) for inner in spec.inner])


def role_of(block: BlockSpec, kinds: Mapping[str, Kind] = KINDS) -> Role:
    """The role of a block: a nest moves information between tokens where anything in it does."""
    roles = [kinds[inner.kind].role for inner in walk(block)]
    return "sequence" if "sequence" in roles else "channel"


def block_kinds(kinds: Mapping[str, Kind] = KINDS) -> list[str]:
    """Names of the kinds that may stand among the blocks."""
    return [name for name, kind in kinds.items() if kind.role not in ("front", "head")]


def units(blocks: tuple[BlockSpec, ...], kinds: Mapping[str, Kind] = KINDS) -> tuple[tuple[BlockSpec, ...], ...]:
    """Group blocks into what growth copies: a sequence mixer with the channel mixers that follow it.

    Channel mixers before the first sequence mixer are a unit of their own.
    """
    groups: list[list[BlockSpec]] = []
    for spec in blocks:
        if role_of(spec, kinds) == "sequence" or not groups:
            groups.append([])
        groups[-1].append(spec)
    return tuple(tuple(group) for group in groups)
