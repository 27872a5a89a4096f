"""What is measured."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from growlab.blocks import block_cost
from growlab.data import Corpus
from growlab.errors import UsageError
from growlab.kinds import KINDS, block_kinds, complete, role_of, shorten
from growlab.layout import Layout, parse, parse_blocks
from growlab.model.cost import Costs
from growlab.scalar import default_values, with_defaults
from growlab.search import preview
from growlab.specs import BudgetSpec, DataSpec, TrainSpec, TrialSpec
from growlab.study import Study
from growlab.study.growth_section import growth_with

PARTNERS = {"sequence": "mlp", "channel": "attn"}  # of a kind, by its role: with it, it makes a model


@dataclass(frozen=True, kw_only=True)
class Subject:
    what: str  # a block kind, 'layout', 'trial 0'
    spec: TrialSpec

    @property
    def layout(self) -> Layout:
        """The layout as people read it: options that equal their defaults are left out."""
        return shorten(parse(self.spec.layout))


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The sizes of models that are made here, and of their batches."""

    d_model: int
    depth: int  # blocks
    batch_size: int
    seq_len: int


def kind_subjects(sizes: Sizes) -> list[Subject]:
    """A subject for each registered kind, those of plugins included."""
    return [Subject(what=kind, spec=spec_of(layout_of(kind, sizes), sizes, embedded_data())) for kind in block_kinds()]


def layout_subjects(texts: Iterable[str], sizes: Sizes) -> list[Subject]:
    """A subject for each layout. Raises LayoutError, UnknownName."""
    return [Subject(what="layout", spec=spec_of(parse(text), sizes, embedded_data())) for text in texts]


def small(subject: Subject) -> Subject:
    """A subject like it with next to nothing to compute."""
    layout, train = complete(parse("d=16 mlp")), replace(subject.spec.train, batch_size=1)
    return Subject(what="", spec=replace(subject.spec, layout=str(layout), train=train))


def trial_subjects(study: Study, corpus: Corpus, n: int) -> list[Subject]:
    """The first `n` trials that a study would begin with, at most as many as it has."""
    vocab_size = corpus.tokenizer.vocab_size
    proposals = preview(study, KINDS, Costs(vocab_size), min(n, study.n_trials))
    return [Subject(what=f"trial {number}", spec=proposal.spec) for number, proposal in enumerate(proposals)]


def layout_of(kind: str, sizes: Sizes) -> Layout:
    """The layout that measures a kind: `depth` blocks, it and its partner in turn, the sequence mixer first; mlp alone.

    Raises UsageError for an odd depth.
    """
    if sizes.depth % 2:
        raise UsageError(f"--depth must be even, as blocks are measured in pairs, got {sizes.depth}")
    block = KINDS[kind].example
    role = role_of(block)
    partner = PARTNERS[role]
    pair = f"{block} {partner}" if role == "sequence" else f"{partner} {block}"
    motif = parse_blocks("mlp mlp" if kind == "mlp" else pair)
    return Layout(sizes.d_model, motif * (sizes.depth // 2))


def spec_of(layout: Layout, sizes: Sizes, data: DataSpec) -> TrialSpec:
    """A trial of this layout with the defaults of a study file. Raises LayoutError, UnknownName, PluginError."""
    layout = complete(layout)
    for block in layout.blocks:
        block_cost(block, layout.d_model, sizes.seq_len)  # a plugin's cost must be one
    train: dict[str, Any] = default_values(TrainSpec)
    return TrialSpec(
        layout=str(layout),
        data=data,
        train=replace(TrainSpec(**train), batch_size=sizes.batch_size, seq_len=sizes.seq_len),
        growth=growth_with(),
        budget=BudgetSpec(unit="steps", amount=10**9),  # long enough for any engine
        curriculum=(),
        seed=0,
    )


def embedded_data() -> DataSpec:
    """The English prose of Python's own documentation: it is there without a network."""
    return with_defaults(DataSpec, source="stdlib")
