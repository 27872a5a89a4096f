"""Where growth was not found to pay, said before anything is spent: of models that stay small, and of short trainings.

What was measured, against un-grown training of several depths at equal FLOPs (`growlab ablate`):

    benchmarks/results/doubling.txt  four units of width 192 that become eight, 33M tokens for the eight: > 1.5 × in
                                     compute; entering silently 0.83 ×
    benchmarks/results/ablation.txt  one unit of width 48 that becomes two, 0.35M tokens for the two: 0.67 to 1.34 ×,
                                     three seeds, so nothing that could be told

Between the two nothing was. So a note says no more than that, and for what lies nearer to the second.
"""

from collections.abc import Sequence

from growlab.kinds import KINDS
from growlab.layout import parse
from growlab.model.cost import expected_steps
from growlab.plan import final_layout, stack_of
from growlab.proposal import Proposal
from growlab.recipes import TRIGGERS
from growlab.specs import TrialSpec

FEW_UNITS = 4  # at the end: with fewer, nothing was measured in which growing paid
FEW_TOKENS = 3_000_000  # a tenth of those with which it did, eight times those with which it could not be told

_MEASURED = (
    "Growing was found to pay from four units to eight over 33M tokens (benchmarks/results/doubling.txt); from one to "
    "two over 0.35M it could not be told (0.67 to 1.34 × in compute, benchmarks/results/ablation.txt). growlab ablate "
    "tells it of layouts and a text of yours"
)


def growth_notes(proposals: Sequence[Proposal], vocab_size: int) -> list[str]:
    """What to know of trials that grow, a line each; [] where none of them is like those that gained nothing."""
    growing = [proposal.spec for proposal in proposals if proposal.spec.growth.grows]
    few = sum(map(_stays_small, growing))
    short = sum(n_tokens(spec, vocab_size) < FEW_TOKENS for spec in growing)
    reasons = []
    if few:
        reasons.append(f"{few} end with fewer than {FEW_UNITS} units")
    if short:
        reasons.append(f"{short} read fewer than {FEW_TOKENS // 1_000_000}M tokens")
    if not reasons:
        return []
    return [f"note: of {len(growing)} trial(s) shown that grow, {' and '.join(reasons)}. {_MEASURED}"]


def _stays_small(spec: TrialSpec) -> bool:
    """Whether it is known how often the trial grows, and that it ends with few units."""
    trigger = TRIGGERS[spec.growth.trigger.name]
    if trigger.read(spec.growth.trigger.options).n_growths() is None:
        return False
    return len(stack_of(final_layout(spec.growth, parse(spec.layout), KINDS), KINDS)) < FEW_UNITS


def n_tokens(spec: TrialSpec, vocab_size: int) -> int:
    """Tokens that a trial reads whose model stays as it begins; one that grows reads fewer for the same FLOPs."""
    return expected_steps(spec, vocab_size) * spec.train.batch_size * spec.train.seq_len
