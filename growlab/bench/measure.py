"""Real steps of training, timed: the run, the engine, the optimizer and the batches are those of a trial."""

import gc
import time
from dataclasses import dataclass

import torch

from growlab.data import Corpus
from growlab.specs import TrialSpec
from growlab.training.device import free_memory, wait_for
from growlab.training.leak import leak
from growlab.training.run import TrialRun, fresh_run
from growlab.training.timing import START_STEPS, seconds, train_steps

_LONG_S = 5.0  # an evaluation that takes longer is not made twice


@dataclass(frozen=True, kw_only=True)
class Timing:
    n_params: int
    flops_per_step: int
    engine: str
    start_s: float  # building the model and the first START_STEPS steps
    step_s: tuple[float, ...]  # mean seconds of a step in each round
    eval_s: float | None  # one evaluation of a trial: the whole validation split, and the leak alarm


def time_run(
    spec: TrialSpec, corpus: Corpus, device: torch.device, *, n_steps: int, n_rounds: int, evaluates: bool = False
) -> Timing:
    """Train a new model for START_STEPS steps and then for `n_rounds` rounds of `n_steps`, be that beyond the budget.

    Raises what torch raises where memory is short.
    """
    gc.collect()  # a run and its engine hold each other, and one that failed was held by its error until now
    free_memory(device)
    began = time.perf_counter()
    run = fresh_run(spec, corpus, device)
    train_steps(run, START_STEPS)
    wait_for(device)
    start_s = time.perf_counter() - began
    return Timing(
        n_params=run.n_params,
        flops_per_step=run.flops_per_step,
        start_s=start_s,
        step_s=tuple(seconds(lambda: train_steps(run, n_steps), device) / n_steps for _ in range(n_rounds)),
        eval_s=_time_evaluation(run) if evaluates else None,
        engine=run.engine.name,
    )


def _time_evaluation(run: TrialRun) -> float:
    """Time the second evaluation, as the first loads kernels; where one is long, the first."""
    first = seconds(lambda: _evaluate(run), run.device)
    return first if first > _LONG_S else seconds(lambda: _evaluate(run), run.device)


def _evaluate(run: TrialRun) -> None:
    run.evaluate()
    leak(run.model, run.corpus.val, run.spec.train.seq_len, run.device)
