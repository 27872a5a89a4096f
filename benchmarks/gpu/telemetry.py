"""What watching a trial's path costs on a GPU: steps with a snapshot and all of τ, κ, H, r̂², z every 100, over steps
without.

    python benchmarks/gpu/telemetry.py CORPUS OUT.jsonl

The 3.5M attention model; pairs of BLOCK steps, one after the other, in turn. The ratio's median, smallest and largest.
"""

import os
from pathlib import Path

import torch
from rows import Rows, about, parser_of
from step import SUBJECTS, ms_per_step, spec_of, spread

from growlab.data import load_corpus
from growlab.growth.telemetry import observe
from growlab.training.device import use_device
from growlab.training.run import TrialRun, fresh_run

EVERY, BLOCK, PAIRS = 100, 200, 10
WHAT = "τ/κ telemetry every 100 steps"


def watched_step(run: TrialRun) -> None:
    run.train_step()
    if run.counters.step % EVERY == 0:
        run.growth.window.snapshot(run.model.units[run.growth.watched])
        observe(run.growth.window, step=run.counters.step, unit=run.growth.watched)


def measure(corpus: Path, device: torch.device) -> dict[str, object]:
    spec = spec_of(SUBJECTS["attention, 3.5M"], corpus)
    run = fresh_run(spec, load_corpus(spec.data), device)
    for _ in range(EVERY * spec.growth.history_window_size):  # until the window is full
        watched_step(run)
    pairs = []
    for _ in range(PAIRS):
        plain = ms_per_step(run.train_step, BLOCK)
        pairs.append((ms_per_step(lambda: watched_step(run), BLOCK), plain))
    return {
        "watched_over_plain": spread([watched / plain for watched, plain in pairs]),
        "plain_ms": spread([plain for _, plain in pairs]),
    }


def main() -> None:
    asked = parser_of(__doc__).parse_args()
    os.environ["GROWLAB_ENGINE"] = "compiled-graph"
    device, rows = use_device("cuda"), Rows(asked.out)
    if WHAT not in rows:
        figures = measure(asked.corpus.resolve(), device)
        rows.add(WHAT, figures | about("telemetry.py", asked.corpus, asked.out, pairs=PAIRS, steps=BLOCK))


if __name__ == "__main__":
    main()
