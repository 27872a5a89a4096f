"""All trainings of protocol.md, in its order, over all GPUs of a machine, until a number of seconds has passed.

    python benchmarks/growth/campaign.py FOLDER TEXTS [--seconds 540] [--slots 3]         # go on, from where it was
    python benchmarks/growth/campaign.py FOLDER TEXTS --only operators --set repeats=24   # more seeds: a second look
    python benchmarks/growth/campaign.py FOLDER TEXTS --plan                              # what is left, how long
    python benchmarks/growth/campaign.py FOLDER TEXTS --tiny --device cpu                 # all in miniature

TEXTS is the folder of prose.txt and dictionary.txt. FOLDER/trainings.tsv gets a line for each training as it ends; one
that is there is not made again, whichever question asks for it; one that was cut off is made anew. Searches are studies
in FOLDER/plans.db, and FOLDER/plans_*.tsv when they end. A training begins only where it is expected to end in time.
"""

import argparse
import math
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from statistics import median

import plans
from crew import Done, Job, Slot
from ledger import Ledger, Line
from question import FILES, Question, Raw, tiny, tiny_search, write_raw

from growlab.ablate.cells import Cell
from growlab.plugins import load_plugins
from growlab.records import TrialResult
from growlab.running.devices import devices_for, shared_threads
from growlab.specs import TrialSpec
from growlab.yaml_file import read_yaml

ORDER = (
    "depth",
    "early",
    "operators",
    *plans.SEARCHES,
    "plans_fresh",
    "plans_chosen",
    "silent",
    "operators_strong",
    "late",
    "state",
    "plans_dictionary",
    "early_hybrid",
    "plans_deep",
    "early_deep",
    "early_dictionary",
    "early_dropout",
    "early_muon",
)
MADE = ("plans_fresh", "plans_chosen", "plans_dictionary", "plans_deep")  # once what they need has ended
F = 6.881e14  # FLOPs of early's budget
# what a question takes while nothing of it has been measured: seconds of a GPU for each FLOP, and beside it for each
# training; from 1,600 steps of 3.45 ms (benchmarks/gpu/results/speed/step.jsonl)
S_PER_FLOP = 5.5 / F
S_BESIDE = 0.8
SLOWER = {"early_hybrid": 2.5}
# trainings, and F that they spend, of what is made of winners that nobody knows yet
TO_COME = {"plans_fresh": (40, 40), "plans_chosen": (64, 96), "plans_dictionary": (24, 19), "plans_deep": (41, 140)}
TESTED = "plans_chosen"  # whose models are read on the test split
GRACE_S = 20.0  # beyond its end for what was expected to end before
MOST_TRIES = 2  # in one call, of a training that raises or whose process dies
TOO_MANY = 12  # of all that do so in one call: it is the machine's fault
ENOUGH = 8  # trainings whose median says how long the next one takes: the first of a process may compile


@dataclass
class Campaign:
    """The questions of ORDER over two texts, and the trainings that are there."""

    folder: Path
    texts: Path
    only: Sequence[str] = ()
    is_tiny: bool = False
    changes: Sequence[str] = ()  # key=value, of every question
    ledger: Ledger = field(init=False)
    _read: dict[str, Question] = field(default_factory=dict)
    _ended: set[str] = field(default_factory=set)  # searches

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.folder / "trainings.tsv")

    def names(self) -> list[str]:
        return [name for name in ORDER if not self.only or name in self.only]

    def questions(self) -> Iterator[Question]:
        """Those of the order whose trainings are known, up to a search that has not ended."""
        for name in self.names():
            if name in plans.SEARCHES:
                if self.left_of_search(name):
                    return
            elif question := self.question(name):
                yield question

    def question(self, name: str) -> Question | None:
        """The question of this name; None where it waits for another."""
        if name not in self._read:
            file = self._file(name)
            if file is None:
                return None
            tested = frozenset(self._tested(file) if name == TESTED else ())
            self._read[name] = Question.read(name, file, self.texts, self.changes, tested=tested)
        return self._read[name]

    def _file(self, name: str) -> Path | None:
        """The file of a question; of a miniature, and of one that has to be made, it is written into the folder."""
        kept = self.folder / f"{name}.yaml"
        if kept.exists():
            return kept
        if name not in MADE and not self.is_tiny:
            return FILES / f"{name}.yaml"
        raw = self._made(name) if name in MADE else read_yaml(FILES / f"{name}.yaml")
        return None if raw is None else write_raw(self._sized(name, raw), kept)

    def _sized(self, name: str, raw: Raw) -> Raw:
        if not self.is_tiny:
            return raw
        return tiny_search(raw) if name in plans.SEARCHES else tiny(raw)

    def _made(self, name: str) -> Raw | None:
        if any(self.left_of_search(search) for search in plans.SEARCHES):
            return None
        if name == "plans_fresh":
            return plans.fresh(self.folder)
        fresh = self.question("plans_fresh")
        if fresh is None or not fresh.is_over(self.ledger):
            return None
        make = {"plans_chosen": plans.chosen, "plans_dictionary": plans.dictionary, "plans_deep": plans.deep}[name]
        return make(self.folder, plans.chosen_of(fresh, self.ledger))

    def _tested(self, file: Path) -> list[str]:
        """The chosen plan, and un-grown training of the depth that was chosen for it."""
        units = min(int(n) for n in read_yaml(file)["envelope"]["units"])
        return [plans.PLAN, f"ungrown {2 * units}"]

    def left_of_search(self, name: str) -> int:
        """Trials of a search that are not over; its database is asked until none is left."""
        if name in self._ended:
            return 0
        left = int(read_yaml(self._file(name))["n_trials"]) - plans.n_searched(self.folder, name)
        if not left:
            self._ended.add(name)
        return left

    def next_search(self) -> str | None:
        return next((name for name in self.names() if name in plans.SEARCHES and self.left_of_search(name)), None)

    def search(self, name: str, *, device: str, at_once: int, seconds: float) -> None:
        file = self._file(name)
        plans.search(self.folder, name, file, self.texts, device=device, at_once=at_once, seconds=seconds)
        plans.write_trials(self.folder, name)

    def seconds_of(self, name: str, spec: TrialSpec) -> float:
        """Seconds of a GPU of its own that a training is expected to take: by what the question's own took."""
        done = [line for line in self.ledger if line.question == name and line.state == "completed"]
        if len(done) < ENOUGH:
            return S_BESIDE + spec.budget.amount * S_PER_FLOP * SLOWER.get(name, 1.0)
        return spec.budget.amount * median(line.elapsed_s / line.at_once / line.flops for line in done)


# ---- running ---------------------------------------------------------------------------------------------------------


@dataclass
class Run:
    """One call: until `ends_at`, on these slots."""

    campaign: Campaign
    slots: list[Slot]
    at_once: int  # trainings on a device
    ends_at: float
    _jobs: dict[str, tuple[Question, Cell]] = field(default_factory=dict)  # by key, of those that have begun
    _raised: Counter[str] = field(default_factory=Counter)  # by key, how often a training ended without a result

    def train(self) -> bool:
        """Train what can be trained in time; True where nothing known is left."""
        while True:
            for slot in self.slots:
                if slot.job is None:
                    self._give(slot)
            busy = [slot for slot in self.slots if slot.job is not None]
            if not busy:
                return self._next(math.inf) is None
            left = self.ends_at + GRACE_S - time.monotonic()
            ready = wait([slot.pipe for slot in busy], timeout=max(0.0, left))
            if not ready and left <= 0:
                return False
            for slot in busy:
                if slot.pipe in ready:
                    self._take(slot)

    def _give(self, slot: Slot) -> None:
        found = self._next(self.ends_at - time.monotonic())
        if found is None:
            return
        question, cell, key, spec = found
        self._jobs[key] = question, cell
        slot.give(Job(key=key, spec=spec, is_tested=question.is_tested(cell)))

    def _next(self, left_s: float) -> tuple[Question, Cell, str, TrialSpec] | None:
        """The first training in order that is not there, not under way, and expected to end in time."""
        for question in self.campaign.questions():
            for cell in question.missing(self.campaign.ledger):
                key = question.key(cell)
                if key in self._jobs or self._raised[key] >= MOST_TRIES:
                    continue
                spec = question.spec(cell)
                if self.at_once * self.campaign.seconds_of(question.name, spec) <= left_s:
                    return question, cell, key, spec
        return None

    def _take(self, slot: Slot) -> None:
        assert slot.job is not None
        spec = slot.job.spec
        done = slot.take()
        question, cell = self._jobs.pop(done.key)
        if done.result is None:
            self._raised[done.key] += 1
            print(f"no result: {question.name}, {cell.arm}: {done.error}", flush=True)
            if self._raised.total() >= TOO_MANY:
                raise SystemExit(f"{TOO_MANY} trainings ended without a result; see above")
            return
        line = _line(done, done.result, question, cell, spec, self.at_once, slot.device)
        self.campaign.ledger.add(line)
        loss = f"{float(line.val_loss):.4f}" if line.val_loss else line.error
        grew = f", grew at {line.growths}" if line.growths else ""
        print(
            f"{question.name}: {cell.arm}, {cell.stage} {cell.repeat}, {cell.budget:g} of the budget"
            f"{f', {line.tuned}' if line.tuned else ''}: {line.state}, {loss}{grew}, {line.elapsed_s:.1f} s",
            flush=True,
        )


def _line(
    done: Done, result: TrialResult, question: Question, cell: Cell, spec: TrialSpec, at_once: int, device: str
) -> Line:
    return Line(
        key=done.key,
        question=question.name,
        stage=cell.stage,
        arm=cell.arm,
        budget=cell.budget,
        repeat=cell.repeat,
        tuned=", ".join(f"{name}={value}" for name, value in cell.values),
        seed=spec.seed,
        state=result.state.value,
        val_loss=_number(result.val_loss),
        best_val_loss=_number(result.best_val_loss),
        test_loss=_number(done.test_loss),
        flops=result.flops,
        tokens=result.tokens,
        steps=result.steps,
        depth=result.depth_end,
        n_params=result.n_params,
        growths=" ".join(str(step) for step in dict.fromkeys(growth.step for growth in done.growths)),
        jumps=" ".join(f"{jump:.4f}" for jump in _jumps(done)),
        elapsed_s=round(done.elapsed_s, 3),
        at_once=at_once,
        device=device,
        error=result.error,
    )


def _number(value: float | None) -> str:
    return "" if value is None else repr(value)


def _jumps(done: Done) -> list[float]:
    """One for each step at which it grew: all units of a growth tell the same losses."""
    by_step = {growth.step: growth.val_loss_after - growth.val_loss_before for growth in done.growths}
    return list(by_step.values())


def carry_out(campaign: Campaign, asked: argparse.Namespace) -> bool:
    """Train and search until the time is over; True where nothing is left."""
    ends_at = time.monotonic() + asked.seconds
    devices = devices_for(asked.device, 1)
    n_threads = shared_threads(len(devices) * asked.slots)
    slots = [Slot(device, n_threads) for device in devices for _ in range(asked.slots)]
    try:
        run = Run(campaign, slots, asked.slots, ends_at)
        while run.train():
            name = campaign.next_search()
            if name is None:
                return True
            left = ends_at - time.monotonic()
            if left < 60 and not campaign.is_tiny:
                return False
            before = campaign.left_of_search(name)
            campaign.search(name, device=asked.device, at_once=asked.slots, seconds=left)
            if campaign.left_of_search(name) == before:
                return False
        return False
    finally:
        for slot in slots:
            slot.end()


# ---- the plan --------------------------------------------------------------------------------------------------------


def print_plan(campaign: Campaign, n_devices: int) -> None:
    """A line for each question: trainings that are there and that are left, and the minutes that those take."""
    print(f"{'question':<20} {'there':>6} {'left':>6} {'GPU s':>7} {'minutes, added up':>18}")
    known, minutes = set[str](), 0.0
    for name in campaign.names():
        there, left, seconds = _planned(campaign, name, known)
        minutes += seconds / 60 / n_devices
        print(f"{name:<20} {there:>6} {left:>6} {seconds:>7.0f} {minutes:>18.1f}")
    print(f"on {n_devices} GPU(s); where the best value is the lowest or the highest listed, tuning goes on")


def _planned(campaign: Campaign, name: str, known: set[str]) -> tuple[int, int, float]:
    """Trainings that are there, that are left, and seconds of a GPU for those; `known` gets them all."""
    if name in plans.SEARCHES:
        left = campaign.left_of_search(name)
        return plans.n_searched(campaign.folder, name), left, left * (S_BESIDE + S_PER_FLOP * F)
    question = campaign.question(name)
    if question is None:
        left, n_budgets = TO_COME[name]
        return 0, left, left * S_BESIDE + n_budgets * F * S_PER_FLOP
    specs = {question.key(cell): question.spec(cell) for cell in question.planned(campaign.ledger)}
    there = sum(key in campaign.ledger for key in specs)
    missing = {key: spec for key, spec in specs.items() if key not in campaign.ledger and key not in known}
    known.update(specs)
    return there, len(missing), sum(campaign.seconds_of(name, spec) for spec in missing.values())


def check_tiny(campaign: Campaign) -> list[str]:
    """What went wrong with a miniature: arms without a line, that failed, or that should have grown and did not."""
    faults = [
        f"{line.question}, {line.arm}: {line.state} {line.error}"
        for line in campaign.ledger
        if line.state != "completed"
    ]
    for name in campaign.names():
        if name in plans.SEARCHES:
            continue
        question = campaign.question(name)
        if question is None or not question.is_over(campaign.ledger):
            faults.append(f"{name}: not over")
            continue
        for cell in question.outcomes(campaign.ledger):
            if question.spec(cell).growth.grows and not campaign.ledger[question.key(cell)].growths:
                faults.append(f"{name}, {cell.arm}: never grew")
    return faults


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--seconds", type=float, default=36_000)
    parser.add_argument("--device", default="all")
    parser.add_argument("--slots", type=int, default=3, help="trainings at once on each GPU")
    parser.add_argument("--only", nargs="+", choices=ORDER, default=(), metavar="QUESTION")
    parser.add_argument("--set", dest="changes", action="append", default=[], metavar="KEY=VALUE", help="with --only")
    parser.add_argument("--plan", action="store_true", help="train nothing")
    parser.add_argument("--gpus", type=int, default=1, help="of the plan")
    parser.add_argument("--tiny", action="store_true")
    asked = parser.parse_args(words)
    load_plugins(())
    folder, texts = asked.folder, asked.texts
    if asked.tiny:
        folder, texts = folder / "tiny", small_texts(texts, folder / "tiny" / "texts")
    os.environ.setdefault("GROWLAB_CACHE", str(folder.resolve() / "cache"))
    campaign = Campaign(folder, texts, asked.only, is_tiny=asked.tiny, changes=asked.changes)
    if asked.plan:
        print_plan(campaign, asked.gpus)
        return 0
    over = carry_out(campaign, asked)
    print("nothing is left" if over else "time is over; the same command goes on", flush=True)
    if asked.tiny:
        faults = check_tiny(campaign)
        print(*faults, f"{len(faults)} fault(s)", sep="\n")
        return min(1, len(faults))
    return 0


def small_texts(texts: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for path in texts.glob("*.txt"):
        with path.open(encoding="utf-8") as file:
            (folder / path.name).write_text(file.read(20_000), encoding="utf-8")
    return folder


if __name__ == "__main__":
    sys.exit(main())
