"""Train random layouts at random learning rates, read each in every way at each rung, and say what a reading is worth.

    python benchmarks/search/readings.py OUT.tsv --corpus CORPUS [--device all] [--slots 8] [--trials 640]
    python benchmarks/search/readings.py OUT.tsv

Trains what of readings.yaml has no row in OUT.tsv yet, appends a row for each training that is over, and prints the
correlations of what is there (correlations.py); without --corpus it does that alone. A training pauses at 1/27, 1/9 and
1/3 of its FLOPs. There it is read as it is (`trunk`), by the mean of its weights (`average`) and by a branch, which
costs a tenth more (`branch`, its FLOPs in `branch_flops`); and a copy of it trains on as the trial itself will, for as
many FLOPs as the branch had (`later`): what could be had for the same price. Whoever asks for several --slots of a GPU
starts NVIDIA's MPS before, under which processes compute side by side.
"""

import argparse
import csv
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path

if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process is one training; said before torch is loaded

import torch
from correlations import report

from growlab.data import Corpus
from growlab.kinds import KINDS
from growlab.model.cost import Costs
from growlab.preparation.checking import prepare
from growlab.preparation.sources import read_study
from growlab.records import Artifact, Fact, Paused, TrialProgress, TrialResult
from growlab.rungs import Ladder, Rungs
from growlab.search.propose import propose
from growlab.specs import TrialSpec
from growlab.study import Study
from growlab.training.checkpoint import CheckpointFolder
from growlab.training.climbing import loss_of
from growlab.training.device import every_gpu, resolve_device, use_device
from growlab.training.trial import run_trial

STUDY = Path(__file__).with_name("readings.yaml")
RUNGS = Rungs(first=1 / 27, factor=3.0, reading="average")
OF_RUNG = ("step", "flops", "trunk", "average", "branch", "branch_flops", "later")
COLUMNS = (
    *("number", "layout", "lr", "dropout", "seed", "state", "n_params", "steps", "flops", "val_loss"),
    *(f"{name}_{rung}" for rung in range(len(RUNGS.shares)) for name in OF_RUNG),
)


@dataclass(frozen=True)
class Job:
    """What a process needs to train any trial of the study."""

    study: Study
    corpus: Corpus
    device: torch.device


class Memory:
    """A recorder that keeps no fact and the newest checkpoint."""

    def __init__(self) -> None:
        self._checkpoint: Artifact | None = None

    def checkpoint(self) -> Artifact | None:
        return self._checkpoint

    def start_over(self, why: str) -> None:
        raise AssertionError(why)

    def began(self, step: int) -> None:
        pass

    def record(self, fact: Fact) -> None:
        pass

    def progress(self, progress: TrialProgress) -> None:
        pass

    def commit(self, checkpoint: Artifact) -> None:
        self._checkpoint = checkpoint

    def settled(self, within_s: float | None = 0.0) -> bool:
        return True

    def pause(self, checkpoint: Artifact) -> None:
        self._checkpoint = checkpoint

    def finish(self, result: TrialResult, artifacts: Sequence[Artifact]) -> None:
        pass


def trained(job: Job, number: int) -> dict[str, object]:
    """The row of a trial, from its first step to its last."""
    proposal = propose(job.study, [], number, KINDS, Costs(job.corpus.tokenizer.vocab_size))
    spec, recorder = proposal.spec, Memory()
    row: dict[str, object] = {"number": number, "layout": proposal.layout, "seed": spec.seed}
    row |= {"lr": f"{spec.train.lr:.6g}", "dropout": f"{spec.train.dropout:.4g}"}
    with tempfile.TemporaryDirectory() as root:
        folder = CheckpointFolder(Path(root), "trial")
        for may_pass in range(len(RUNGS.shares) + 1):
            ladder = Ladder(rungs=RUNGS, may_pass=may_pass)
            end = run_trial(
                spec,
                job.corpus,
                recorder,
                device=job.device,
                folder=folder,
                checkpoint_every_s=math.inf,
                ladder=ladder,
            )
            if not isinstance(end, Paused):
                break
            row |= read(job, spec, folder, recorder.checkpoint(), end)
    assert isinstance(end, TrialResult)
    val_loss = math.inf if end.val_loss is None or end.error else end.val_loss
    row |= {"state": end.state.value, "n_params": end.n_params, "steps": end.steps, "flops": end.flops}
    return row | {"val_loss": f"{val_loss:.6f}"}


def read(
    job: Job, spec: TrialSpec, folder: CheckpointFolder, checkpoint: Artifact | None, paused: Paused
) -> dict[str, object]:
    """The columns of the rung at which a trial waits: its own reading, and those of a copy of it."""
    assert checkpoint is not None
    reading, copy = paused.reading, folder.load(checkpoint, spec, job.corpus, job.device)
    trunk, _ = loss_of(copy, "trunk")
    branch, branch_flops = loss_of(copy, "branch")
    while copy.counters.flops < reading.flops + branch_flops:
        copy.train_step()
    losses = {"trunk": trunk, "average": reading.val_loss, "branch": branch, "later": copy.measure().loss}
    copy.forget_recordings()
    found: dict[str, object] = {name: f"{loss:.6f}" for name, loss in losses.items()}
    found |= {"step": reading.step, "flops": reading.flops, "branch_flops": branch_flops}
    return {f"{name}_{reading.rung}": value for name, value in found.items()}


# ---- processes and rows ----------------------------------------------------------------------------------------

_job: Job | None = None


def begin(study: Study, corpus: Corpus, devices: "Queue[str]") -> None:
    """Take one of the devices for the trainings of this process."""
    global _job
    torch.set_num_threads(1)
    _job = Job(study, corpus, use_device(devices.get()))


def work(number: int) -> dict[str, object]:
    assert _job is not None
    return trained(_job, number)


def train_missing(asked: argparse.Namespace) -> None:
    """Train what has no row yet, in slots of the devices, and append each row as it is ready."""
    sets = [f"data.path={asked.corpus.resolve()}", *asked.sets]
    study, corpus = prepare(read_study(str(STUDY), sets), (), print)
    table = whole_rows(asked.out)
    missing = sorted(set(range(asked.trials)) - {int(row["number"]) for row in table})
    write(asked.out, table)
    names = every_gpu() if asked.device == "all" else [asked.device]
    if resolve_device(names[0]).type == "cuda":  # compiling hundreds of kinds would take longer than training them
        os.environ.setdefault("GROWLAB_ENGINE", "graph")
    context = get_context("spawn")
    devices = context.Queue()
    for name in names * asked.slots:
        devices.put(name)
    begin_with = (study, corpus, devices)
    with context.Pool(len(names) * asked.slots, begin, begin_with) as workers, asked.out.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n", restval="inf")
        for n, row in enumerate(workers.imap_unordered(work, missing), 1):
            writer.writerow(row)
            file.flush()
            print(f"{n} of {len(missing)}: {row['number']} {row['state']} {row['val_loss']}", flush=True)


def whole_rows(out: Path) -> list[dict[str, str]]:
    """The rows that are there, without a line that an interruption cut off."""
    if not out.exists():
        return []
    with out.open(newline="") as file:
        return [row for row in csv.DictReader(file, delimiter="\t") if row[COLUMNS[-1]]]


def write(out: Path, table: Sequence[dict[str, str]]) -> None:
    whole = out.with_suffix(".part")
    with whole.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    whole.replace(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT.tsv")
    parser.add_argument("--corpus", type=Path, help="trains; else OUT.tsv is read alone")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--slots", type=int, default=1, help="trainings at once, of each device")
    parser.add_argument("--trials", type=int, default=640)
    parser.add_argument("--set", dest="sets", action="append", default=[], help="of the study, for a trial run")
    asked = parser.parse_args()
    if asked.corpus:
        train_missing(asked)
    print(report(whole_rows(asked.out), RUNGS.shares))


if __name__ == "__main__":
    main()
