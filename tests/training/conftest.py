"""Trials small enough to be trained in a test: a corpus of a few thousand characters, two to six blocks of width 16."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from random import Random

import pytest
import torch

from growlab.data.corpus import Corpus, load_corpus
from growlab.kinds import complete
from growlab.layout import format_layout, parse
from growlab.named import Named
from growlab.records import TIMED_METRICS, Artifact, Fact, GrowthEvent, TrialProgress, TrialResult
from growlab.scalar import default_values, with_defaults
from growlab.specs import BudgetSpec, DataSpec, TrainSpec, TrialSpec
from growlab.study.growth_section import growth_with
from growlab.training.checkpoint import CheckpointFolder
from growlab.training.run import TrialRun
from growlab.training.trial import run_trial

WORDS = ("the", "growing", "model", "sees", "a", "café", "and", "then", "another", "layer")  # é is two bytes of UTF-8
CPU = torch.device("cpu")

# Two growths, at steps 15 and 30: a snapshot every third step, two stagnant checks, then four steps of
# isolated warm-up and three of cool-down.
TRAIN = {"batch_size": 4, "seq_len": 16, "eval_every": 5, "precision": "fp32"}
GROWTH = {
    "trigger": "stagnation",
    "patience": 2,
    "threshold": 1.0,
    "tau_crit": 0.0,
    "kappa_crit": 0.0,
    "warmup_steps": 0,
    "history_window_size": 4,
    "collect_interval_steps": 3,
    "entry_scale": 0.0,
    "freeze_steps": 4,
    "rewarm_steps": 3,
    "cooldown_steps": 3,
    "max_depth": 6,
}


class Killed(Exception):
    """Stands for the end of the process."""


class ListRecorder:
    """What storage promises, in memory: facts count only when a checkpoint or the result is committed with them."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.committed: Artifact | None = None
        self.commits: list[Artifact] = []
        self.artifacts: list[Artifact] = []
        self.result: TrialResult | None = None
        self.reasons_to_start_over: list[str] = []
        self.glimpses: list[TrialProgress] = []
        self.beginnings: list[int] = []
        self.pauses: list[int] = []
        self._waiting: list[Fact] = []

    def begin_attempt(self) -> None:
        self._waiting.clear()  # what a dead worker had not committed has not happened

    def checkpoint(self) -> Artifact | None:
        return self.committed

    def start_over(self, why: str) -> None:
        self.reasons_to_start_over.append(why)
        self.committed = None
        self.facts.clear()

    def record(self, fact: Fact) -> None:
        self._waiting.append(fact)

    def began(self, step: int) -> None:
        self.beginnings.append(step)

    def progress(self, progress: TrialProgress) -> None:
        self.glimpses.append(progress)

    def settled(self, within_s: float | None = 0.0) -> bool:
        return True

    def commit(self, checkpoint: Artifact) -> None:
        self.committed = checkpoint
        self.commits.append(checkpoint)
        self._make_durable()

    def pause(self, checkpoint: Artifact) -> None:
        self.commit(checkpoint)
        self.pauses.append(checkpoint.step)

    def finish(self, result: TrialResult, artifacts: Sequence[Artifact]) -> None:
        self.committed, self.result, self.artifacts = None, result, list(artifacts)
        self._make_durable()

    @property
    def growths(self) -> list[GrowthEvent]:
        return [fact for fact in self.facts if isinstance(fact, GrowthEvent)]

    @property
    def timeless(self) -> list[Fact]:
        """The facts as they are whatever the time of day: of a pause that it was, not how long."""
        return [replace(fact, value=0.0) if getattr(fact, "name", "") in TIMED_METRICS else fact for fact in self.facts]

    def _make_durable(self) -> None:
        self.facts += self._waiting
        self._waiting.clear()


class Trial:
    """One trial over any number of attempts: its spec, its files below `root` and its recorder."""

    def __init__(self, spec: TrialSpec, corpus: Corpus, root: Path) -> None:
        self.spec, self.corpus, self.root = spec, corpus, root
        self.recorder = ListRecorder()

    @property
    def folder(self) -> Path:
        return self.root / "trial"

    def attempt(
        self,
        *,
        stop_at: int = -1,
        die_at: int = -1,
        checkpoint_every_s: float = math.inf,
        asked: Sequence[Named] = (),
    ) -> TrialResult | None:
        """Train in a new process, so to say; asked to stop, or killed, when `step` steps are done."""
        self.recorder.begin_attempt()
        return run_trial(
            self.spec,
            self.corpus,
            self.recorder,
            device=CPU,
            folder=CheckpointFolder(self.root, "trial"),
            should_stop=self._stopper(stop_at, die_at),
            checkpoint_every_s=checkpoint_every_s,
            asked=asked,
        )

    def _stopper(self, stop_at: int, die_at: int) -> Callable[[], bool]:
        steps: Iterator[int] | None = None

        def should_stop() -> bool:
            nonlocal steps
            if steps is None:  # asked for the first time: the run is open, and stands where its checkpoint is
                begins_at = self.recorder.committed.step if self.recorder.committed else 0
                steps = iter(range(begins_at, 10**9))
            step = next(steps)
            if step == die_at:
                raise Killed
            return step == stop_at

        return should_stop


@pytest.fixture(autouse=True, scope="module")
def short_samples() -> Iterator[None]:
    """A sample of the usual length takes longer than the training before it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("growlab.training.sample.LENGTH", 8)
        yield


@pytest.fixture(autouse=True, scope="module")
def eager_checkpoints() -> Iterator[None]:
    """Asked for a checkpoint every 0 seconds, a trial writes one after every step, however long that takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("growlab.training.saving.CHECKPOINT_SHARE", math.inf)
        yield


@pytest.fixture(scope="session")
def data_spec(tmp_path_factory: pytest.TempPathFactory) -> DataSpec:
    random = Random(0)
    path = tmp_path_factory.mktemp("text") / "corpus.txt"
    path.write_text(" ".join(random.choice(WORDS) for _ in range(1200)), encoding="utf-8")
    return with_defaults(DataSpec, path=str(path), val_fraction=0.02, test_fraction=0.1)


@pytest.fixture(scope="session")
def corpus(data_spec: DataSpec) -> Corpus:
    return load_corpus(data_spec)


@pytest.fixture(scope="session")
def make_spec(data_spec: DataSpec) -> Callable[..., TrialSpec]:
    """A tiny trial that grows twice in 45 steps, except for what a test asks for; `steps`, `tokens` or `flops`
    set the budget, every other name the field that is called so."""

    def make(*, layout: str = "d=16 attn[n_heads=2] mlp", seed: int = 0, **changes: object) -> TrialSpec:
        budget = {unit: changes.pop(unit) for unit in ("steps", "tokens", "flops") if unit in changes} or {"steps": 45}
        [(unit, amount)] = budget.items()
        train = default_values(TrainSpec) | TRAIN
        in_train = {name: value for name, value in changes.items() if name in {each.name for each in fields(TrainSpec)}}
        in_growth = {name: value for name, value in changes.items() if name not in in_train}
        return TrialSpec(
            layout=format_layout(complete(parse(layout))),
            data=data_spec,
            train=TrainSpec(**(train | in_train)),
            growth=growth_with(**(GROWTH | in_growth)),
            budget=BudgetSpec(unit=unit, amount=amount),
            curriculum=(),
            seed=seed,
        )

    return make


@pytest.fixture(scope="session")
def new_trial(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Callable[[TrialSpec], Trial]:
    return lambda spec: Trial(spec, corpus, tmp_path_factory.mktemp("artifacts"))


@pytest.fixture
def killed() -> type[Exception]:
    return Killed


@pytest.fixture
def list_recorder() -> type[ListRecorder]:
    return ListRecorder


@pytest.fixture
def losses() -> Callable[[TrialRun, int], list[float]]:
    """Of so many steps of a run, one by one; it grows at a third of them."""

    def of_each_step(run: TrialRun, n_steps: int) -> list[float]:
        seen = []
        for step in range(1, n_steps + 1):
            run.loss_sum.zero_()
            run.train_step()
            seen.append(float(run.loss_sum))
            if step == n_steps // 3:
                run.adopt_units(run.growth.grow(step))
            if run.growth.advance_to(step):  # what was frozen thaws
                run.refit_step()
        return seen

    return of_each_step
