"""The figures of one subject, and what follows from them: pure arithmetic."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from growlab import amounts
from growlab.bench.roofline import Roofline
from growlab.errors import GrowlabError

if TYPE_CHECKING:
    from growlab.bench.block_rows import BlockReport

OUT_OF_MEMORY = "out of memory"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of `growlab bench`; names and order are the columns of TSV and JSON. None: not known, not asked."""

    what: str  # a block kind, 'layout', 'trial 0'
    layout: str
    batch_size: int
    seq_len: int
    n_params: int
    ms_per_step: float | None = None  # median of the rounds, each the mean of its steps
    ms_per_step_min: float | None = None
    ms_per_step_max: float | None = None
    tokens_per_s: float | None = None
    flops_per_step: int | None = None
    flops_per_s: float | None = None
    fewest_bytes_per_step: int | None = None
    precision: str = ""  # in which matrices are multiplied: fp32 | bf16
    roofline_share: float | None = None  # the least time of a step over the measured one
    roofline_bound: str = ""  # what takes that least time: compute | memory
    engine: str = ""
    start_s: float | None = None  # building the model and the first steps
    eval_s: float | None = None  # one evaluation
    n_evals: int | None = None
    n_steps: int | None = None  # in the budget
    trial_s: float | None = None
    trials_per_hour: float | None = None
    error: str = ""  # OUT_OF_MEMORY, or what was raised, in one line

    @property
    def failure(self) -> str:
        """The error in few words, for the cell of a table."""
        return self.error if self.error in ("", OUT_OF_MEMORY) else "failed"


@dataclass(frozen=True, kw_only=True)
class Report:
    device: Mapping[str, str | int]
    versions: Mapping[str, str]
    roofline: Roofline
    settings: Mapping[str, object]
    rows: Sequence[Row]

    @property
    def trial_s(self) -> list[float]:
        """Seconds of the trials that could be measured; none unless it is a study's."""
        return [row.trial_s for row in self.rows if row.trial_s is not None]

    def as_mapping(self) -> dict[str, Any]:
        return {**asdict(self), "trials_per_hour": trials_per_hour(self.trial_s) if self.trial_s else None}

    def summary(self) -> list[str]:
        """Lines about a study: what the estimate leaves out, and how many trials an hour holds."""
        if not self.trial_s:
            return []
        mean = amounts.duration(statistics.fmean(self.trial_s))
        return [
            "An estimate for one worker and models that do not grow: loading the corpus, snapshots, checkpoints and "
            "the text that a trial writes at its end are not in it.",
            f"about {trials_per_hour(self.trial_s):.3g} trials per hour: the mean of {len(self.trial_s)} is {mean}",
        ]


def require_measured(report: "Report | BlockReport") -> None:
    """Raise GrowlabError when a row failed by itself, or all of them for lack of memory."""
    if failed := [row for row in report.rows if row.error not in ("", OUT_OF_MEMORY)]:
        raise GrowlabError(
            f"{len(failed)} of {len(report.rows)} could not be measured: {failed[0].layout}: {failed[0].error}; "
            "growlab --debug bench … shows where"
        )
    if all(row.error for row in report.rows):
        raise GrowlabError(f"nothing could be measured: {report.device['device']} has too little memory for it")


def evaluations_of(n_steps: int, eval_every: int) -> int:
    """The number of evaluations: one after every `eval_every` steps, and one at the end."""
    return -(-n_steps // eval_every)


def trial_seconds(
    *, start_s: float, start_steps: int, step_s: float, n_steps: int, eval_s: float, n_evals: int
) -> float:
    """The time of a trial: start, remaining steps, evaluations; `start_s` has the first `start_steps` steps in it."""
    return start_s + max(0, n_steps - start_steps) * step_s + n_evals * eval_s


def trials_per_hour(trial_s: Sequence[float]) -> float:
    """The pace of one worker, from the mean of its trials."""
    return 3600 / statistics.fmean(trial_s)
