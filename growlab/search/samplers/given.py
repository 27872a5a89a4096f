"""No search: the trials are put into the queue by whoever made the study, such as an ablation."""

from dataclasses import dataclass
from typing import ClassVar

from growlab.errors import UsageError
from growlab.search.sampling import Ask, SamplerOptions, Suggestion, first_layout, register_sampler


@dataclass(frozen=True, kw_only=True)
class GivenOptions(SamplerOptions):
    proposes: ClassVar[bool] = False


@register_sampler("given", "nothing: the trials are those that somebody enqueued", options=GivenOptions)
def given(ask: Ask, options: GivenOptions) -> Suggestion:
    """The layouts to start with, which a preview shows; no worker asks."""
    if first := first_layout(ask, startup_trials=len(ask.past) + 1):
        return first
    raise UsageError("sampler given proposes nothing: its trials are those that were put into the queue")
