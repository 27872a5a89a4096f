"""Kinds without torch, and studies over them.

The kinds are data as real ones are; the options of `attn` depend on each other and on the width, those of
`mlp` are not whole numbers, and `swa` is registered but drawn by no study here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import strategies as st

import growlab.growth.protocol
import growlab.search  # noqa: F401  (fill tables; a test imports this file in a process of its own)
from growlab.domains import Choice, Domain, Fixed, Range, write_domain
from growlab.errors import LayoutError
from growlab.kinds import Cost, Kind, Nesting, Role, option
from growlab.layout import Layout
from growlab.registry import Registry
from growlab.scalar import defaults_of, with_defaults
from growlab.specs import BudgetSpec, DataSpec, TrainSpec
from growlab.study import FromLayer, LayoutSpace, Study
from growlab.study.growth_section import SILENT, read_growth
from growlab.study.reference import search_ranges
from growlab.study.sampler_section import read_sampler


@dataclass(frozen=True, kw_only=True)
class AttnOptions:
    n_heads: int = option(4, search=(2, 4, 8), help="")
    heads_per_kv: int = option(1, search=(1, 2), help="")

    def check(self, d_model: int) -> None:
        if d_model % (2 * self.n_heads) or self.n_heads % self.heads_per_kv:
            raise LayoutError(f"attn[n_heads={self.n_heads}] does not fit d={d_model}")


@dataclass(frozen=True, kw_only=True)
class ConvOptions:
    kernel: int = option(4, search=(3, 4, 7), help="")
    gated: bool = option(True, search=(), help="a search that is silent keeps the default")

    def check(self, d_model: int) -> None:
        if self.kernel < 1:
            raise LayoutError(f"conv[kernel={self.kernel}] must be at least 1")


@dataclass(frozen=True, kw_only=True)
class MlpOptions:
    expand: float = option(2.0, search=(2, 2.5, 4), help="")  # 2 is written as people write it

    def check(self, d_model: int) -> None:
        if self.expand <= 0:
            raise LayoutError(f"mlp[expand={self.expand}] must be greater than 0")


def _cost(d_model: int, options: Any, seq_len: int) -> Cost:
    width = getattr(options, "expand", 4.0)
    n_params = int(width * d_model * d_model)
    return Cost(n_params=n_params, matmul_flops=2 * n_params * seq_len, other_flops=0, activations=0, state_size=0)


@dataclass(frozen=True, kw_only=True)
class NestOptions:
    price: float = option(0.1, search=(0.1, 1.0), help="")

    def check(self, d_model: int) -> None:
        if self.price < 0:
            raise LayoutError(f"price={self.price} must be at least 0")


@dataclass(frozen=True, kw_only=True)
class PatchOptions:
    size: int = option(4, search=(2, 4), help="")

    def check(self, d_model: int) -> None:
        if self.size > d_model:
            raise LayoutError(f"patch[size={self.size}] does not fit d={d_model}")


def _kind(name: str, role: Role, options: type[Any]) -> Kind:
    return Kind(name=name, role=role, summary="", options=options, cost=_cost, mixer=object)


def _table() -> Registry[Kind]:
    table: Registry[Kind] = Registry("block kind")
    for name, role, options in (
        ("attn", "sequence", AttnOptions),
        ("swa", "sequence", AttnOptions),
        ("conv", "sequence", ConvOptions),
        ("mlp", "channel", MlpOptions),
        ("glu", "channel", MlpOptions),
    ):
        table.add(name, _kind(name, role, options))
    for name, nesting in (
        ("mix", Nesting(example="attn,conv", branches=(2, 4), length=(1, 1), whole=False)),
        ("act", Nesting(example="attn mlp", branches=(1, 1), length=(1, 4), whole=True)),
    ):
        nest = Kind(name=name, role="nest", summary="", options=NestOptions, cost=_cost, mixer=object, nesting=nesting)
        table.add(name, nest)
    for name, place in (("patch", "front"), ("trace", "head")):
        part = Kind(name=name, role=place, summary="", options=PatchOptions, cost=_cost, mixer=object)
        table.add(name, part)
    return table


KINDS = _table()


def study_of(
    blocks: Mapping[str, Mapping[str, tuple[Any, ...]]] | None = None,
    *,
    d_model: tuple[int, ...] = (32, 64, 96),
    depth: tuple[int, int] = (2, 8),
    train: Mapping[str, Domain] | None = None,
    growth: Mapping[str, Domain] | None = None,
    start_with: tuple[str, ...] = (),
    max_params: int = 0,
    seed: int = 0,
    n_trials: int = 100,
    front: tuple[str, ...] = ("plain",),
    head: tuple[str, ...] = ("plain",),
    from_layer: FromLayer | None = None,
    sampler: str = "evolution",
    **options: int,
) -> Study:
    """A study that says only what a test is about."""
    blocks = {"attn": {}, "conv": {}, "mlp": {}} if blocks is None else blocks
    return Study(
        name="test",
        data=with_defaults(DataSpec, sha256="0" * 64),
        layouts=LayoutSpace(
            blocks=blocks,
            d_model=d_model,
            depth=depth,
            start_with=start_with,
            max_params=max_params,
            front=front,
            head=head,
            from_layer=from_layer,
        ),
        budget=BudgetSpec(unit="steps", amount=100_000),
        n_trials=n_trials,
        train={**defaults_of(TrainSpec), **(train or {})},
        growth=read_growth({**SILENT, **{key: write_domain(domain) for key, domain in (growth or {}).items()}}),
        sampler=read_sampler({"name": sampler, **options}),
        seed=seed,
    )


def n_params(layout: Layout) -> int:
    return sum(
        KINDS[block.kind].cost(layout.d_model, KINDS[block.kind].read_options(block, layout.d_model), 1).n_params
        for block in layout.blocks
    )


@pytest.fixture(scope="session")
def kinds() -> Mapping[str, Kind]:
    return KINDS


@pytest.fixture(scope="session")
def make_study() -> Callable[..., Study]:
    return study_of


@pytest.fixture(scope="session")
def measure() -> Callable[[Layout], int]:
    return n_params


@pytest.fixture(scope="session")
def spaces() -> st.SearchStrategy[LayoutSpace]:
    """Sound layout spaces: some combination of every kind's options fits every width."""
    return _spaces()


@pytest.fixture(scope="session")
def studies() -> st.SearchStrategy[Study]:
    """Sound studies, most of their numbers searched, some with layouts to start with."""
    return _studies()


@st.composite
def _spaces(draw: st.DrawFn) -> LayoutSpace:
    offered = {
        "attn": {"n_heads": (2, 4, 8), "heads_per_kv": (1, 2)},
        "conv": {"kernel": (3, 4, 7), "gated": (False, True)},
        "swa": {"n_heads": (4, 8)},
        "mix(attn,conv[kernel=3])": {"price": (0.1, 1.0), "attn.n_heads": (2, 4, 8), "conv.gated": (False, True)},
        "act(mix(conv,conv) mlp)": {"mix.conv_2.kernel": (3, 5), "mlp.expand": (1, 3.0)},
        "mlp": {"expand": (1, 2.5, 4)},
        "glu": {},
    }
    sequence = draw(st.sets(st.sampled_from([name for name in offered if name not in ("mlp", "glu")]), min_size=1))
    chosen = sorted(sequence | draw(st.sets(st.sampled_from(["mlp", "glu"]))))
    blocks = {}
    for kind in chosen:
        blocks[kind] = {
            name: tuple(draw(st.lists(st.sampled_from(values), min_size=1, unique=True)))
            for name, values in offered[kind].items()
            if draw(st.booleans())
        }
    low = draw(st.integers(1, 6))
    # multiples of 16, so that 8 heads fit them all
    d_model = tuple(draw(st.lists(st.sampled_from([16, 32, 48, 64, 96]), min_size=1, unique=True)))
    sides = st.lists(st.sampled_from(sorted(sequence)), min_size=1, unique=True).map(tuple)
    layer = st.lists(st.integers(0, 4), min_size=1, unique=True).map(tuple)
    return LayoutSpace(
        blocks=blocks,
        d_model=d_model,
        depth=(low, low + draw(st.integers(0, 5))),
        front=draw(st.sampled_from([("plain",), ("plain", "patch[size=2]"), ("patch", "patch[size=2]")])),
        head=draw(st.sampled_from([("plain",), ("plain", "trace")])),
        from_layer=draw(st.none() | st.builds(FromLayer, layer=layer, below=sides, above=sides)),
    )


_STARTS = (
    "d=32 attn mlp",
    "d=112 (swa glu)x5",
    "d=64 mlp conv[kernel=5] mlp",
    "d=96 conv",
    "d=48 front=patch act(attn[n_heads=2] mlp) mix(conv,attn[n_heads=2],swa[n_heads=2]) mlp head=trace",
)


@st.composite
def _studies(draw: st.DrawFn) -> Study:
    space = draw(_spaces())
    searched = draw(st.sets(st.sampled_from(sorted(search_ranges())), max_size=4))
    train = {name.removeprefix("train."): search_ranges()[name] for name in searched if name.startswith("train.")}
    growth: dict[str, Domain] = {
        name.removeprefix("growth."): search_ranges()[name] for name in searched if name.startswith("growth.")
    }
    growth["trigger"] = draw(st.sampled_from([Fixed(value="never"), Choice(values=("never", "stagnation"))]))
    growth["max_depth"] = draw(st.sampled_from([Fixed(value=12), Range(low=12, high=16)]))
    starts = draw(st.lists(st.sampled_from(_STARTS), unique=True, max_size=2))
    return study_of(
        space.blocks,
        d_model=space.d_model,
        depth=space.depth,
        front=space.front,
        head=space.head,
        from_layer=space.from_layer,
        train=train,
        growth=growth,
        start_with=tuple(starts),
        seed=draw(st.integers(0, 2**40)),
        startup_trials=draw(st.integers(0, 3)),
        population=draw(st.integers(1, 6)),
        tournament=draw(st.integers(1, 3)),
        tries=draw(st.integers(1, 30)),
    )
