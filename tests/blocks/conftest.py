"""Every test with an argument `spec` runs for every registered kind: its defaults and each value a search draws.

So a new kind inherits the contract by being registered; those of docs/ are registered here too.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from growlab.blocks import Block, build_block
from growlab.errors import LayoutError
from growlab.kinds import KINDS, block_kinds
from growlab.layout import BlockSpec, parse_blocks

D_MODEL = 32  # eight heads of four numbers
NARROW = [  # than the texts here; searches draw wider
    BlockSpec("hopfield", (("incremental", True), ("n_stored", 0))),
    *(BlockSpec("swa", (("window", window),)) for window in (2, 5, 8)),
    BlockSpec("swa", (("gate", True), ("window", 5))),
]

NESTED = [
    "mix(mlp,mlp[activation=gelu])",
    "mix(conv,attn[n_heads=2],mamba2[d_state=4])",
    "router(attn[gate=true])",
    "router[ponder=0.0](mlp)",
    "act(mlp)",
    "act(conv)",
    "act[most=2](router(conv) mix(attn,ssm) mlp)",
    "loop(mlp)",
    "loop[times=3](router(conv) loop[gradient=last](mix(attn,ssm)) mlp)",
    "act[most=2](loop[gradient=last](conv mlp))",
    "mix(loop(attn mlp),ssm)",
]


def every_spec() -> list[BlockSpec]:
    specs = []
    for name in block_kinds():
        example = KINDS[name].example
        specs.append(example)
        for key, field in KINDS[name].option_fields().items():
            others = [value for value in field.metadata["search"] if value != field.default]
            specs += [replace(example, options=((key, value),)) for value in others]
    nested = [block for text in NESTED for block in parse_blocks(text)]
    return [spec for spec in [*specs, *NARROW, *nested] if fits(spec)]


def fits(spec: BlockSpec) -> bool:
    try:
        KINDS[spec.kind].read_options(spec, D_MODEL)
    except LayoutError:
        return False
    return True


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "spec" in metafunc.fixturenames:
        metafunc.parametrize("spec", every_spec(), ids=str)


@pytest.fixture(scope="module", autouse=True)
def _all_kinds(documented_kinds: None) -> None:
    """What is tested here holds for them too."""


@pytest.fixture
def block_of() -> Callable[..., Block]:
    """Builds a block of width 32; `bold` doubles its weights, as at their initial size blocks agree with anything."""

    def build(
        spec: BlockSpec, *, dtype: torch.dtype = torch.float64, bold: bool = True, dropout: float = 0.0, seed: int = 0
    ) -> Block:
        torch.manual_seed(seed)
        block = build_block(spec, D_MODEL, max_depth=1, dropout=dropout)
        with torch.no_grad():
            for parameter in block.parameters():
                parameter.mul_(1 + bold)
        return block.to(dtype)

    return build


@pytest.fixture
def tokens() -> Callable[..., torch.Tensor]:
    """Draws an input (B, T, 32)."""

    def draw(B: int, T: int, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return torch.randn(B, T, D_MODEL, generator=generator, dtype=torch.float64).to(dtype)

    return draw
