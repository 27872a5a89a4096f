"""Where the time of a recorded step goes: its longest kernels, by the time of all their launches.

    python benchmarks/gpu/kernels.py CORPUS OUT.jsonl [--only SUBJECT]

One row for each subject of step.py, and for the memories' layouts of recurrence.py, executed as compiled-graph.
"""

import gc
import os
from pathlib import Path

import torch
from rows import Rows, about, parser_of
from step import SUBJECTS, Subject, spec_of
from torch.profiler import ProfilerActivity, profile

from growlab.data import load_corpus
from growlab.training.device import use_device
from growlab.training.run import fresh_run

STEPS, LONGEST = 5, 16
MEMORIES = ("attn", "mamba2", "hebbian", "hebbian[delta=true]", "hopfield[incremental=true]")
KNOWN = SUBJECTS | {kind: Subject(f"d=256 ({kind} mlp)x4", 0.0, None) for kind in MEMORIES}


def kernels(subject: str, corpus: Path, device: torch.device) -> dict[str, object]:
    spec = spec_of(KNOWN[subject], corpus)
    run = fresh_run(spec, load_corpus(spec.data), device)
    for _ in range(10):
        run.train_step()
    with profile(activities=[ProfilerActivity.CUDA]) as profiled:
        for _ in range(STEPS):
            run.train_step()
        torch.cuda.synchronize()
    by_time = sorted(profiled.key_averages(), key=lambda each: -each.device_time_total)
    total_us = sum(each.device_time_total for each in by_time)
    return {
        "ms_in_kernels": round(total_us / STEPS / 1000, 3),
        "kernels": round(sum(each.count for each in by_time) / STEPS),
        "longest": [
            {
                "share": round(each.device_time_total / total_us, 3),
                "ms": round(each.device_time_total / STEPS / 1000, 4),
                "launches": round(each.count / STEPS),
                "kernel": each.key[:120],
            }
            for each in by_time[:LONGEST]
        ],
    }


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--only", choices=KNOWN, help="one subject")
    asked = parser.parse_args()
    os.environ["GROWLAB_ENGINE"] = "compiled-graph"
    device, rows = use_device("cuda"), Rows(asked.out)
    for subject in KNOWN:
        if subject in rows or (asked.only or subject) != subject:
            continue
        rows.add(
            subject, kernels(subject, asked.corpus.resolve(), device) | about("kernels.py", asked.corpus, asked.out)
        )
        gc.collect()
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
