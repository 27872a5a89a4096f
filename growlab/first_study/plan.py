"""Sizes and budgets of a first study: what is done in the time that there is, and reads no text too often.

A trial should read some twenty tokens for each of its parameters, so a faster machine or more time makes models larger.
Where the text is too small for that, it is the text that says how large they may be: no trial reads it more often than
READINGS times on average, which leaves room below the twenty from which on texts tend to be learnt by heart.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from growlab.bench.subjects import Sizes, spec_of
from growlab.data.readings import OFTEN
from growlab.first_study.machine import Pace
from growlab.layout import parse
from growlab.model.cost import count_params, step_flops
from growlab.specs import BudgetSpec, DataSpec, TrialSpec

READINGS = OFTEN / 2  # of the text by a trial, at most
TOKENS_PER_PARAM = 20  # that a trial reads
FEWEST_TRIALS, MOST_TRIALS = 8, 24
N_EVALUATIONS = 10  # of a trial
VAL_FRACTION = 0.05  # of the training part, at most
_USED = 0.6  # of the time: the rest is for evaluations, starts, and layouts that are slower than the one that was timed
_VAL_SHARE = 0.1  # of a trial's FLOPs that its evaluations may take
_FEWEST_STEPS = 500
_SMALL_SPLIT = 4  # windows that val has at least

# Width and pairs of a mixer and an mlp, the smallest first.
_LADDER = ((64, 2), (96, 2), (128, 3), (192, 4), (256, 6), (384, 6), (512, 8))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the trials of a first study are like."""

    d_model: int
    depth: tuple[int, int]  # blocks, fewest and most
    batch_size: int
    seq_len: int
    n_trials: int
    budget: BudgetSpec  # of a trial
    eval_every: int  # steps
    val_fraction: float
    lr: tuple[float, float]
    searches_dropout: bool
    tokens: int  # that a trial of middle size reads
    readings: float  # of the text, that makes
    n_params: int  # of such a trial
    flops: int  # of such a trial
    pace: Pace
    seconds: float  # until the study is done, about


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The sizes of a middling model of the study."""

    d_model: int
    pairs: int

    @property
    def layout(self) -> str:
        """Attention and convolution in turn, each with an mlp: what trials are drawn from, in equal parts."""
        units = ["attn mlp", "conv mlp"] * self.pairs
        return f"d={self.d_model} {' '.join(units[: self.pairs])}"


def make_plan(
    *,
    n_tokens: int,
    vocab_size: int,
    data: DataSpec,
    minutes: float,
    n_workers: int,
    on_gpu: bool,
    time: Callable[[TrialSpec], Pace],
) -> Plan:
    """Find the largest models for which the time and the text suffice, by timing ever larger ones.

    `n_tokens` are those of the train split, `time` trains a trial for a few steps.
    """
    found: Plan | None = None
    for d_model, pairs in _LADDER:
        shape = Shape(d_model=d_model, pairs=pairs)
        spec = _timed_spec(shape, data, on_gpu)
        n_params = count_params(parse(spec.layout), vocab_size)
        if found is not None and n_tokens * READINGS < TOKENS_PER_PARAM * n_params:
            break  # the text is too small for it on any machine
        plan = _plan_of(shape, spec, n_params, time(spec), n_tokens, vocab_size, minutes * 60 * n_workers * _USED)
        if found is not None and plan.tokens < TOKENS_PER_PARAM * n_params:
            break
        found = plan
    assert found is not None
    return replace(found, seconds=found.seconds / n_workers)


def _timed_spec(shape: Shape, data: DataSpec, on_gpu: bool) -> TrialSpec:
    batch_size, seq_len = (64, 256) if on_gpu else (16, 64 if shape.d_model < 128 else 128)
    sizes = Sizes(d_model=shape.d_model, depth=2 * shape.pairs, batch_size=batch_size, seq_len=seq_len)
    spec = spec_of(parse(shape.layout), sizes, data)
    return replace(spec, budget=BudgetSpec(unit="steps", amount=_FEWEST_STEPS))  # so few that nothing is compiled


def _plan_of(
    shape: Shape, spec: TrialSpec, n_params: int, pace: Pace, n_tokens: int, vocab_size: int, seconds: float
) -> Plan:
    """The plan for models of this shape, if all workers together had so many seconds of training."""
    per_token = step_flops(spec, vocab_size) / (spec.train.batch_size * spec.train.seq_len)
    each = max(seconds / FEWEST_TRIALS - pace.start_s, seconds / FEWEST_TRIALS / 4)
    affordable = int(each * pace.flops_per_s / per_token)
    tokens = max(min(affordable, int(READINGS * n_tokens)), spec.train.seq_len)
    trial_s = tokens * per_token / pace.flops_per_s + pace.start_s
    n_trials = min(max(int(seconds / trial_s), FEWEST_TRIALS), MOST_TRIALS)
    batch_size = _batch_size(tokens, spec)
    readings = tokens / n_tokens
    by_text = readings > OFTEN / 8  # then the smallest layouts of a budget in FLOPs could read it too often
    flops = int(tokens * per_token)
    n_steps = max(tokens // (batch_size * spec.train.seq_len), 1)
    return Plan(
        d_model=shape.d_model,
        depth=(2 * shape.pairs - 2, 2 * shape.pairs + 2),
        batch_size=batch_size,
        seq_len=spec.train.seq_len,
        n_trials=n_trials,
        budget=BudgetSpec(unit="tokens", amount=_rounded(tokens))
        if by_text
        else BudgetSpec(unit="flops", amount=_rounded(flops)),
        eval_every=max(n_steps // N_EVALUATIONS, 1),
        val_fraction=_val_fraction(tokens, n_tokens, spec.train.seq_len),
        lr=(2e-3, 1e-2) if shape.d_model < 128 else (1e-3, 6e-3) if shape.d_model < 384 else (5e-4, 3e-3),
        searches_dropout=readings > OFTEN / 8,
        tokens=tokens,
        readings=readings,
        n_params=n_params,
        flops=flops,
        pace=pace,
        seconds=n_trials * trial_s / _USED,
    )


def _batch_size(tokens: int, spec: TrialSpec) -> int:
    """As many sequences a step as leave a trial enough steps, in powers of two from four on."""
    batch_size = spec.train.batch_size
    while batch_size > 4 and tokens / (batch_size * spec.train.seq_len) < _FEWEST_STEPS:
        batch_size //= 2
    return batch_size


def _val_fraction(tokens: int, n_tokens: int, seq_len: int) -> float:
    """The share of the text that evaluations have time for: a validated token costs a third of a trained one."""
    affordable = 3 * tokens * _VAL_SHARE / N_EVALUATIONS
    fraction = min(affordable / n_tokens, VAL_FRACTION)
    return float(f"{max(fraction, _SMALL_SPLIT * (seq_len + 1) / n_tokens):.1g}")


def _rounded(amount: int) -> int:
    """Two digits of an amount."""
    return int(float(f"{amount:.1e}"))
