"""A trial to run, and how it came about: what a search makes and a queue takes."""

from collections.abc import Mapping
from dataclasses import dataclass

from growlab.domains import Value
from growlab.kinds import shorten
from growlab.layout import n_run, parse
from growlab.records import Decision
from growlab.specs import TrialSpec


@dataclass(frozen=True, kw_only=True)
class Proposal:
    spec: TrialSpec
    layout: str  # as people read it: options that equal their defaults are left out
    depth: int  # blocks that are run one after another
    params: Mapping[str, Value]  # the scalars as the sampler drew them, by full name
    decision: Decision

    @property
    def number(self) -> int:
        """The number of the proposed trial within its study."""
        return self.decision.number


def given_proposal(spec: TrialSpec, number: int, params: Mapping[str, Value]) -> Proposal:
    """A trial that nobody searched for: `params` say what it is to whoever made it."""
    layout = parse(spec.layout)
    return Proposal(
        spec=spec,
        layout=str(shorten(layout)),
        depth=n_run(layout.blocks),
        params=params,
        decision=Decision(
            number=number, seed=spec.seed, origin="given", parent=None, mutation="", finished=(), running=()
        ),
    )
