"""Random layouts of all registered kinds, those of docs/ included, and the models they mean."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import strategies as st

from growlab.errors import LayoutError
from growlab.kinds import KINDS, block_kinds
from growlab.layout import BlockSpec, Layout
from growlab.model.language_model import LanguageModel, build_model

D_MODEL = 16
VOCAB = 11


def specs_of(*roles: str) -> list[BlockSpec]:
    """Each such kind's defaults and each value that a search draws, where they fit the width."""
    specs = [
        replace(kind.example, options=options)
        for kind in KINDS.values()
        if kind.role in roles
        for options in [
            (),
            *(((key, value),) for key, field in kind.option_fields().items() for value in field.metadata["search"]),
        ]
    ]
    return [spec for spec in specs if fits(spec)]


def nested(blocks: st.SearchStrategy[BlockSpec]) -> st.SearchStrategy[BlockSpec]:
    """Any nest of such blocks."""

    def of(nest: BlockSpec) -> st.SearchStrategy[BlockSpec]:
        nesting = KINDS[nest.kind].nesting
        fewest, most = nesting.length
        branch = st.lists(blocks, min_size=fewest, max_size=min(most, 3)).map(tuple)
        fewest, most = nesting.branches
        branches = st.lists(branch, min_size=fewest, max_size=min(most, 3)).map(tuple)
        return branches.map(lambda drawn: replace(nest, branches=drawn))

    return st.sampled_from(specs_of("nest")).flatmap(of)


def fits(spec: BlockSpec) -> bool:
    try:
        KINDS[spec.kind].read_options(spec, D_MODEL)
    except LayoutError:
        return False
    return True


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", block_kinds())
    if "mixer" in metafunc.fixturenames:
        metafunc.parametrize("mixer", [name for name, kind in KINDS.items() if kind.role == "sequence"])


@pytest.fixture(scope="module", autouse=True)
def _all_kinds(documented_kinds: None) -> None:
    """What is tested here holds for them too."""


@pytest.fixture(scope="module")
def layouts_of_blocks(documented_kinds: None) -> st.SearchStrategy[Layout]:
    """Of the whole grammar but front ends and heads."""
    plain = st.sampled_from(specs_of("sequence", "channel"))
    block = plain | plain | nested(plain) | nested(plain | nested(plain))
    return st.builds(Layout, st.just(D_MODEL), st.lists(block, min_size=1, max_size=4).map(tuple))


@pytest.fixture(scope="module")
def layouts(layouts_of_blocks: st.SearchStrategy[Layout]) -> st.SearchStrategy[Layout]:
    """Of the whole grammar."""
    front, head = (st.none() | st.sampled_from(specs_of(place)) for place in ("front", "head"))
    return st.builds(
        lambda layout, front, head: replace(layout, front=front, head=head), layouts_of_blocks, front, head
    )


@pytest.fixture(scope="session")
def model_of() -> Callable[..., LanguageModel]:
    """Builds a model with 11 tokens; `bold` doubles its weights, as at their initial size models do little.

    Not where blocks run in rounds: doubled weights would make much of any rounding, round by round.
    """

    def build(
        layout: Layout, *, dtype: torch.dtype = torch.float64, bold: bool = True, dropout: float = 0.0, seed: int = 0
    ) -> LanguageModel:
        model = build_model(layout, vocab_size=VOCAB, max_depth=layout.depth, dropout=dropout, seed=seed)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1 + (bold and "act[" not in str(layout) and "act(" not in str(layout)))
        return model.to(dtype)

    return build


@pytest.fixture(scope="session")
def ids() -> Callable[..., torch.Tensor]:
    """Draws token ids (B, T)."""

    def draw(B: int, T: int, *, seed: int = 0) -> torch.Tensor:
        return torch.randint(VOCAB, (B, T), generator=torch.Generator().manual_seed(seed))

    return draw
