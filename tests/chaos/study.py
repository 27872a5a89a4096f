"""What the faults hit: tiny trials that all grow, and what must be equal to the last bit however they were disturbed.

A grid, so that a trial's spec is a function of its number and not of who finished first; workers propose it, as they
do in any study.
"""

from dataclasses import asdict
from pathlib import Path

from growlab.files import sha256_of
from growlab.records import TIMED_METRICS
from growlab.storage import Store, TrialRow

NAME = "chaos"
N_TRIALS = 16  # cells of the grid below, and so the most that a run may ask for
STEPS = "steps: 48"

STUDY = f"""
name: {NAME}
n_trials: {{n_trials}}
data: {{{{path: {{corpus}}, val_fraction: 0.1}}}}
layouts:
  blocks: {{{{attn: {{{{n_heads: [1, 2]}}}}, conv: {{{{kernel: 3}}}}, mlp: {{{{}}}}}}}}
  d_model: [8, 16]
  depth: [2, 3]
  start_with: [d=8 conv mlp, "d=8 attn[n_heads=2] mlp", d=16 conv mlp, "d=16 conv attn[n_heads=2] mlp"]
train: {{{{batch_size: 4, seq_len: 16, eval_every: 6, dropout: 0.1, lr: [3e-3, 1e-2]}}}}
growth:
  trigger: stagnation
  operator: [aiether, copy-last]
  tau_crit: 0
  kappa_crit: 0
  threshold: 50
  patience: 1
  warmup_steps: 6
  collect_interval_steps: 2
  history_window_size: 4
  k_subspace: 1
  ell_orth: 1
  freeze_steps: 4
  rewarm_steps: 4
  cooldown_steps: 4
  max_depth: 5
budget: {{{{{{budget}}}}}}
sampler: grid
{{rungs}}
"""

# Of a study whose trials are paused and promoted: the same trials, with a budget by which they can be compared.
FLOPS = "flops: 8e7"
RUNGS = "rungs: {first: 0.25, factor: 2}"
TWO_OBJECTIVES = RUNGS + "\nobjectives: [val_loss, params]"

# What a trial holds that must not depend on who trained it, or when. Times do: elapsed_s, started_at, `pause_s`, ….
RESULT = (
    *("state", "error", "engine", "layout", "spec_mapping", "params", "depth_start", "layout_end", "depth_end"),
    *("n_params", "val_loss", "best_val_loss", "bits_per_byte", "flops", "tokens", "steps", "sample"),
)

PACE = '''"""A plugin: a step lasts, on any processor; checkpoints take more than 2% of the time; samples are short."""
import random
import time

from growlab.recipes import register_operator
from growlab.training import sample, saving
from growlab.training.run import TrialRun

STEP_S = {step_s} * random.Random().uniform(0.6, 1.4)  # no two workers are equally fast
at_once = TrialRun.train_step


def train_step(run):
    time.sleep(STEP_S)
    at_once(run)


register_operator("paced", "none of the study's: a plugin must register something")(train_step)
TrialRun.train_step = train_step
saving.CHECKPOINT_SHARE = {checkpoint_share}
sample.LENGTH = 40
'''


def furnish(
    folder: Path, *, n_trials: int, step_s: float, checkpoint_share: float, budget: str = STEPS, rungs: str = ""
) -> None:
    """Write corpus, study file and plugin."""
    line = "the quick brown fox jumps over the lazy dog, and the dog sleeps on.\n"
    corpus = folder.parent / "corpus.txt"  # the same for all runs: its path is part of a trial's spec
    corpus.write_text("".join(f"{at} {line}" for at in range(60)))
    (folder / "study.yaml").write_text(STUDY.format(n_trials=n_trials, corpus=corpus, budget=budget, rungs=rungs))
    (folder / "pace.py").write_text(PACE.format(step_s=step_s, checkpoint_share=checkpoint_share))


def fingerprint(store: Store, trial: TrialRow, artifacts: Path) -> dict[str, str]:
    """Everything of a trial that must be equal: its result, curves, trajectory, growth, and the files on the disk.

    As text: the shortest that reads back as the same float, and NaN equals NaN.
    """
    files = [each for each in store.artifacts(trial.id) if each.kind != "checkpoint"]
    curves = [each for each in store.metrics(trial.id) if each.name not in TIMED_METRICS]
    found = {
        **{name: getattr(trial, name) for name in RESULT},
        "curves": curves,
        "trajectory": store.trajectory(trial.id, tensor=None),
        "growth": store.growth_events(trial.id),
        "files": [{**asdict(each), "path": Path(each.path).name} for each in files],
        "on the disk": [sha256_of(artifacts / each.path) for each in files],
    }
    return {name: repr(value) for name, value in found.items()}
