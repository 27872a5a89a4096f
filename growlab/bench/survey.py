"""One subject after another, each a row of figures."""

import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from growlab.bench.machine import describe_device, describe_versions
from growlab.bench.measure import Timing, time_run
from growlab.bench.roofline import PRECISIONS, Roofline, matmul_dtype, measure_roofline
from growlab.bench.rows import OUT_OF_MEMORY, Report, Row, evaluations_of, trial_seconds, trials_per_hour
from growlab.bench.subjects import Subject, small
from growlab.data import Corpus
from growlab.errors import GrowlabError
from growlab.escapes import first_line
from growlab.faults import is_out_of_memory
from growlab.layout import parse
from growlab.model.cost import count_params, fewest_bytes, steps_of
from growlab.preparation.telling import Tell
from growlab.training.engine import choose_execution
from growlab.training.timing import START_STEPS


def survey(
    subjects: Sequence[Subject],
    corpus: Corpus,
    device: torch.device,
    *,
    settings: Mapping[str, object],
    n_steps: int,
    n_rounds: int,
    estimates_trials: bool,
    tell: Tell,
) -> Report:
    """Measure the roofline, in the first subject's precision, and a row for each subject.

    Raises GrowlabError when there is no memory even for the roofline, UsageError for an engine that cannot be.
    """
    choose_execution(device, n_steps)
    tell(f"measuring the roofline of {device} …")
    surveyor = Surveyor(
        corpus=corpus,
        device=device,
        roofline=measure_roofline(subjects[0].spec.train.precision, device),
        n_steps=n_steps,
        n_rounds=n_rounds,
        estimates_trials=estimates_trials,
        tell=tell,
    )
    return Report(
        device=describe_device(device),
        versions=describe_versions(),
        roofline=surveyor.roofline,
        settings={**settings, "steps": n_steps, "start_steps": START_STEPS, "rounds": n_rounds},
        rows=tuple(surveyor.rows(subjects)),
    )


@dataclass(frozen=True, kw_only=True)
class Surveyor:
    corpus: Corpus
    device: torch.device
    roofline: Roofline
    n_steps: int  # timed in a round
    n_rounds: int
    estimates_trials: bool  # evaluations are measured too
    tell: Tell

    def rows(self, subjects: Sequence[Subject]) -> Iterator[Row]:
        """Measure one subject after another. One that fails, mostly for lack of memory, is a row that says so."""
        self._time(small(subjects[0]), n_steps=1, n_rounds=1)  # else the first start would be that of the process too
        for subject in subjects:
            self.tell(f"{subject.what}: {subject.layout} …")
            yield self._row(subject)

    def _row(self, subject: Subject) -> Row:
        row = self._plain_row(subject)
        timing = self._time(subject, self.n_steps, self.n_rounds)
        if isinstance(timing, str):
            return replace(row, error=timing)
        row = self._with_pace(row, timing)
        return self._with_trial(row, subject, timing) if timing.eval_s is not None else row

    def _plain_row(self, subject: Subject) -> Row:
        """The row of what is known of a subject without running it."""
        train, vocab_size = subject.spec.train, self.corpus.tokenizer.vocab_size
        layout, dtype = parse(subject.spec.layout), matmul_dtype(train.precision, self.device)
        return Row(
            what=subject.what,
            layout=str(subject.layout),
            batch_size=train.batch_size,
            seq_len=train.seq_len,
            n_params=count_params(layout, vocab_size),
            fewest_bytes_per_step=fewest_bytes(
                layout, vocab_size, train.seq_len, train.batch_size, bytes_per_activation=dtype.itemsize
            ),
            precision=PRECISIONS[dtype],
        )

    def _time(self, subject: Subject, n_steps: int, n_rounds: int) -> Timing | str:
        """Time a subject, or say what went wrong. In a text: the traceback of an exception holds the model."""
        try:
            return time_run(
                subject.spec,
                self.corpus,
                self.device,
                n_steps=n_steps,
                n_rounds=n_rounds,
                evaluates=self.estimates_trials,
            )
        except GrowlabError:
            raise
        except Exception as error:  # a plugin may raise anything; what was measured before is not to be lost
            if is_out_of_memory(error):
                return OUT_OF_MEMORY
            if os.environ.get("GROWLAB_DEBUG"):
                raise
            return f"{type(error).__name__}: {first_line(str(error))}"

    def _with_pace(self, row: Row, timing: Timing) -> Row:
        step_s, roofline = statistics.median(timing.step_s), self.roofline
        row = replace(
            row,
            ms_per_step=1000 * step_s,
            ms_per_step_min=1000 * min(timing.step_s),
            ms_per_step_max=1000 * max(timing.step_s),
            tokens_per_s=row.batch_size * row.seq_len / step_s,
            flops_per_step=timing.flops_per_step,
            flops_per_s=timing.flops_per_step / step_s,
            engine=timing.engine,
            start_s=timing.start_s,
        )
        if row.precision != roofline.precision:  # the roofline is that of another precision
            return row
        work = timing.flops_per_step, row.fewest_bytes_per_step or 0
        return replace(row, roofline_share=roofline.floor_s(*work) / step_s, roofline_bound=roofline.bound(*work))

    def _with_trial(self, row: Row, subject: Subject, timing: Timing) -> Row:
        assert timing.eval_s is not None
        train = subject.spec.train
        n_steps = steps_of(subject.spec.budget, train.batch_size * train.seq_len, timing.flops_per_step)
        n_evals = evaluations_of(n_steps, train.eval_every)
        trial_s = trial_seconds(
            start_s=timing.start_s,
            start_steps=START_STEPS,
            step_s=statistics.median(timing.step_s),
            n_steps=n_steps,
            eval_s=timing.eval_s,
            n_evals=n_evals,
        )
        return replace(
            row,
            eval_s=timing.eval_s,
            n_evals=n_evals,
            n_steps=n_steps,
            trial_s=trial_s,
            trials_per_hour=trials_per_hour([trial_s]),
        )
