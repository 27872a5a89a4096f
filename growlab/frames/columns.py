"""The columns of each frame: their names, types in pandas and meanings, said once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

WHOLE, NUMBER, TEXT, TRUTH, TIME = "Int64", "float64", "str", "boolean", "datetime64[us, UTC]"


@dataclass(frozen=True)
class FrameColumn:
    name: str
    dtype: str  # what is not known is missing (NA, NaN, NaT) in each of them
    meaning: str


def _columns(text: str) -> tuple[FrameColumn, ...]:
    """Columns from lines of name, type and meaning."""
    types = {"whole": WHOLE, "number": NUMBER, "text": TEXT, "truth": TRUTH, "time": TIME}
    lines = (line.split(maxsplit=2) for line in text.strip().splitlines())
    return tuple(FrameColumn(name, types[dtype], meaning) for name, dtype, meaning in lines)


TRIALS = _columns("""
trial           whole   its number, from 0
rank            whole   place among completed trials by the study's loss, from 1
state           text    queued, running, paused, completed, diverged, stopped, leak or failed
layout          text    at the start of training, in short form
layout_end      text    at its end
depth_start     whole   blocks at the start
depth_end       whole   blocks at the end
n_params        whole   parameters at the end
val_loss        number  nats per token: the last evaluation; of an open trial the newest, of a paused one at its rung
best_val_loss   number  nats per token: the lowest of all evaluations
bits_per_byte   number  of text, from val_loss
accuracy        number  share of right answers, of a synthetic task
flops           number  spent on training; whole, exact to 2**53
tokens          whole   trained on
steps           whole   optimizer steps
growths         whole   times that it grew
elapsed_s       number  seconds of training and evaluation, over all attempts
seed            whole   of weights and batches
origin          text    how it was found: seed, random, mutation, model, optuna, given, added, told
parent          whole   the trial that it is a mutation of
front           truth   whether no trial is better in all objectives; of a study with several
feasible        truth   whether all constraints hold; of a study with some
rung            whole   at which it waits, from 1
rung_share      number  of its budget at that rung
told            truth   whether a person told its result
overfits_since  whole   step of the best val_loss, where that has risen for long
engine          text    how steps were executed: eager, graph, compiled
created_at      time    when it was proposed
started_at      time    when it was first claimed
ended_at        time    when it came to a final state
error           text    what went wrong
""")

CELL = {"stage": TEXT, "arm": TEXT, "budget": NUMBER, "repeat": WHOLE}  # of a training of an ablation, beside those

METRICS = _columns("""
trial           whole   its number
step            whole   optimizer steps before it
split           text    train, val or test
name            text    loss, bits_per_byte, flops, tokens, lr, grad_norm, tokens_per_s, …
value           number  in the metric's unit; NaN and infinities of a run that diverged are themselves
""")

TRAJECTORY = _columns("""
trial               whole   its number
step                whole   optimizer steps before it
unit                whole   index of the watched unit, from the input side
tensor              text    its name inside the unit; empty: the mean over the unit's tensors
n_increments        whole   increments of the window
tau                 number  path over displacement: 1 straight, √n a random walk; inf of a closed path
kappa               number  how much the path bends
diffusion_exponent  number  H: 1 ballistic, ½ a random walk
drift_to_noise      number  r̂², unbiased
drift_z             number  drift test
path                number  length of the path
displacement        number  distance between its ends
""")

GROWTH_EVENTS = _columns("""
trial            whole   its number
step             whole   at which the unit entered
position         whole   index of the new unit, from the input side
unit             text    its blocks
operator         text    what made its weights
reason           text    why it grew then
tau              number  of the newest unit's path before it
kappa            number  of the newest unit's path before it
val_loss_before  number  nats per token
val_loss_after   number  nats per token, at once
depth_before     whole   blocks
depth_after      whole   blocks
n_params_after   whole   parameters
""")

DECISIONS = _columns("""
trial           whole   that was proposed, or promoted
decision        text    proposal or promotion
rung            whole   from which it was promoted, from 1
origin          text    of a proposal: seed, random, mutation, model, optuna, given, added, told
parent          whole   the trial that it is a mutation of
mutation        text    what was done to the parent
seed            whole   of the proposal's own draws
predicted_mean  number  of the objective, before the trial ran, by a sampler with a model
predicted_sd    number  of that mean
predicted_runs  number  probability that the trial reaches an objective at all
""")

READINGS = _columns("""
trial           whole   its number
rung            whole   from 1, the lowest
step            whole   optimizer steps before it
mark            number  FLOPs of the rung
flops           number  spent by then
val_loss        number  nats per token
bits_per_byte   number  of text, from that
slope           number  of val_loss over ln FLOPs, since the evaluation before
extra_flops     number  that reading it cost
""")

ATTEMPTS = _columns("""
trial           whole   its number
epoch           whole   which attempt at it, from 1
worker_id       whole   of one process, in the database
worker          text    its name
host            text    machine
device          text    cpu, cuda:0, …
started_at      time    when it claimed the trial
heartbeat_at    time    when it was last heard
ended_at        time    when the attempt ended
end_reason      text    finished, paused, stopped, crashed or lost
note            text    what is to be known of it
step            whole   the furthest that was heard of it
""")

WORKERS = _columns("""
worker_id       whole   of one process, in the database
worker          text    its name
host            text    machine
device          text    cpu, cuda:0, …
first_at        time    when it first claimed a trial of the study
heartbeat_at    time    when an attempt of it was last heard
attempts        whole   at trials of the study
finished        whole   trials that it brought to a final state
busy_s          number  seconds in attempts
trial           whole   that it has not given back
""")

FRAMES: Mapping[str, tuple[FrameColumn, ...]] = {
    "trials": TRIALS,
    "metrics": METRICS,
    "trajectory": TRAJECTORY,
    "growth_events": GROWTH_EVENTS,
    "decisions": DECISIONS,
    "readings": READINGS,
    "attempts": ATTEMPTS,
    "workers": WORKERS,
}


def markdown() -> Iterator[str]:
    """The columns as docs/notebooks.md has them, a table for each frame."""
    for frame, columns in FRAMES.items():
        yield f"### `{frame}()`\n\n| column | dtype | |\n|---|---|---|"
        yield from (f"| `{column.name}` | {column.dtype} | {column.meaning} |" for column in columns)
        yield ""
