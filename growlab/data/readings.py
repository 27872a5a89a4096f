"""How often a trial reads its texts: epochs, by the stage of a curriculum."""

from dataclasses import dataclass

from growlab.data.corpus import Corpus, Split
from growlab.data.tasks import TaskSplit
from growlab.specs import TrialSpec

OFTEN = 20  # times, above which a text tends to be learnt by heart


@dataclass(frozen=True, kw_only=True)
class Reading:
    stage: int | None  # of the curriculum; None without one
    label: str  # of the text
    times: float  # tokens drawn in the stage, over those of the text


def readings(corpus: Corpus, spec: TrialSpec, n_steps: int) -> list[Reading]:
    """List how often each stage of a trial of so many steps reads its text. [] for a synthetic task, never read twice.

    times = share of the budget · n_steps · batch_size · seq_len / tokens of the text. A stage's share of the steps is
    its share of the budget, as long as a step costs the same throughout: growth under a budget of FLOPs shifts it.
    """
    n_tokens = n_steps * spec.train.batch_size * spec.train.seq_len
    if isinstance(corpus.train, TaskSplit):
        return []
    if not spec.curriculum:
        return [Reading(stage=None, label=corpus.label, times=n_tokens / _size(corpus.train))]
    begins = [0.0, *(stage.until for stage in spec.curriculum)]
    return [
        Reading(
            stage=at,
            label=stage.path or corpus.label,
            times=(stage.until - begin) * n_tokens / _size(corpus.training(at)),
        )
        for at, (begin, stage) in enumerate(zip(begins, spec.curriculum, strict=False))
    ]


def _size(split: Split) -> int:
    """Count the tokens of a split that is read."""
    assert not isinstance(split, TaskSplit), "stages of a corpus are of its kind"
    return split.size
