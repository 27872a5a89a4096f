"""The moving parts of a trial that is being trained, and how they come to be."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from growlab.blocks.parts import n_positions
from growlab.data.corpus import Corpus
from growlab.errors import SpecError
from growlab.growth.identity import named_by_identity, unit_prefix
from growlab.growth.protocol import Grown, GrowthProtocol
from growlab.layout import format_blocks, n_held, parse, parse_blocks
from growlab.model.cost import TrainedUnit, expected_steps, training_flops
from growlab.model.language_model import LanguageModel, build_model
from growlab.specs import TrialSpec
from growlab.training.averaging import WeightAverage
from growlab.training.branch import Branch
from growlab.training.compiled import Objective, compiled_objective
from growlab.training.device import autocast
from growlab.training.engine import choose_execution, engine_for
from growlab.training.evaluation import Evaluation, block_metrics
from growlab.training.feed import Feed, feed_for
from growlab.training.optimizer import GrowingOptimizer
from growlab.training.schedule import lr_at, stage_at
from growlab.training.stopping import Followed
from growlab.training.validation import Validation


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """A regular evaluation of a trial: what it came to, and where."""

    step: int
    flops: int  # that the trial had spent
    val_loss: float  # a finite number


@dataclass
class Counters:
    """Counts of where a trial stands; the step is also the data position."""

    step: int = 0
    flops: int = 0  # training and telemetry, dropped branches included; evaluation is not counted
    tokens: int = 0  # that the model has read, from the first step to `step`
    dropped_steps: int = 0  # of branches that were dropped: the budget pays for them, and `flops` has theirs
    dropped_flops: int = 0  # of the same branches
    grown_step: int = 0  # of the newest growth
    grown_flops: int | None = None  # trained by then, dropped branches not counted; None where nothing has grown
    elapsed_s: float = 0.0  # over all attempts
    val_loss: float = math.nan  # of the last evaluation that was finite
    best_val_loss: float = math.inf
    evaluated: tuple[Evaluated, ...] = ()  # the last two regular evaluations
    n_readings: int = 0  # at rungs
    followed: Followed = field(default_factory=Followed)  # of its evaluations, by stop rules

    def note(self, val_loss: float) -> None:
        """Take a finite loss of the model as it is for that of its last evaluation."""
        self.val_loss, self.best_val_loss = val_loss, min(self.best_val_loss, val_loss)

    @property
    def trained_flops(self) -> int:
        """FLOPs of the way that the model has come, dropped branches not counted."""
        return self.flops - self.dropped_flops


@dataclass
class TrialRun:
    """A trial that is being trained: model, optimizer, growth and counters, each of which a checkpoint holds."""

    spec: TrialSpec
    corpus: Corpus
    device: torch.device
    model: LanguageModel
    optimizer: GrowingOptimizer
    growth: GrowthProtocol
    counters: Counters = field(default_factory=Counters)
    grown: list[str] = field(default_factory=list)  # blocks of every unit that has grown, as it was then, eldest first
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros(()))  # since the last row of training, on the device
    loss_count: int = 0
    grad_norm: Tensor = field(default_factory=lambda: torch.zeros(()))  # of the last step, before clipping
    lr: float = 0.0  # of the last step
    flops_per_step: int = 0
    branch: Branch | None = None  # while the trial is forked
    average: WeightAverage = field(default_factory=WeightAverage)  # of its weights, before a rung where that is read

    def __post_init__(self) -> None:
        execution = choose_execution(self.device, expected_steps(self.spec, self.model.vocab_size))
        if (
            self.spec.train.recompute and self.spec.train.dropout
        ):  # the second pass asks the host for the first's random
            execution = execution.launched
        self._compiled = execution.compiled
        self._objective = self._objective_of_model()
        self.engine = engine_for(execution, self._compute_step, self.device)
        self._validation = Validation(self.corpus.val, self.spec.train, self.device, self.engine)
        self.stage = stage_at(self.progress, self.spec.curriculum)
        self.feed = self._feed_of_stage()
        self._be_plastic()

    def rebuild(
        self, *, grown: Sequence[str], born: Mapping[str, int], positions: Sequence[int], enclosed: Sequence[int]
    ) -> None:
        """Make model, optimizer and growth anew, as `assemble_run` does, for a state that is loaded into them."""
        self.forget_recordings()
        self.model, self.optimizer, self.growth = _parts(
            self.spec, self.corpus, self.device, grown=grown, born=born, positions=positions, enclosed=enclosed
        )
        self.grown = list(grown)
        self._objective = self._objective_of_model()
        self._be_plastic()

    def _objective_of_model(self) -> Objective:
        return compiled_objective(self.model) if self._compiled else self.model.objective

    # ---- one step -------------------------------------------------------------------------------------------

    def train_step(self) -> None:
        """Train a step: forward, backward, clip, update. Nothing in here waits for the device."""
        self.train_step_at(lr_at(self.progress, self.spec.train))

    def train_step_at(self, lr: float) -> None:
        """Train a step at another learning rate than the schedule's."""
        train, counters = self.spec.train, self.counters
        self.lr = lr
        growth = self.spec.growth
        self.optimizer.set_lr(
            self.lr, step=counters.step, rewarm_steps=growth.rewarm_steps, new_lr_factor=growth.new_lr_factor
        )
        self.engine.step(self.feed.inputs(counters.step))
        self.loss_count += 1
        counters.step += 1
        counters.tokens += train.batch_size * train.seq_len
        counters.flops += self.flops_per_step

    def _compute_step(self, *inputs: Tensor) -> None:
        """Compute what the device does in a step; an engine may record it."""
        x_BT, y_BT = self.feed.batch(*inputs)
        with autocast(self.spec.train.precision, self.device):
            loss, penalty = self._objective(x_BT, y_BT)
        (loss if penalty is None else loss + penalty).backward()  # type: ignore[no-untyped-call]
        self.grad_norm.copy_(self.optimizer.step())  # a recorded step writes into the tensor that it was recorded with
        self.loss_sum += loss.detach()

    # ---- a curriculum ---------------------------------------------------------------------------------------

    def advance_stage(self) -> bool:
        """Move on to the stage of the present progress. True when that is another one."""
        stage = stage_at(self.progress, self.spec.curriculum)
        if stage == self.stage:
            return False
        before, self.stage = self.stage, stage
        if self.corpus.training(stage) is not self.corpus.training(before):
            self.forget_recordings()
            del self.feed  # what it holds of the device is free before the next one asks for some
            self.feed = self._feed_of_stage()
        self._be_plastic()
        return True

    def _feed_of_stage(self) -> Feed:
        return feed_for(self.corpus.training(self.stage), self.spec.train, self.spec.seed, self.device)

    def _be_plastic(self) -> None:
        """Set the plasticity of the stage. A recorded step need not be told: it reads the tensor that is filled."""
        if self.spec.curriculum and (plasticity := self.spec.curriculum[self.stage].plasticity):
            self.model.set_plasticity(plasticity)

    # ---- where it stands ------------------------------------------------------------------------------------

    @property
    def spent(self) -> int:
        """The amount that was spent, in the budget's unit, on branches that were dropped too."""
        counters, train = self.counters, self.spec.train
        steps = counters.step + counters.dropped_steps
        return {"flops": counters.flops, "tokens": steps * train.batch_size * train.seq_len, "steps": steps}[
            self.spec.budget.unit
        ]

    @property
    def progress(self) -> float:
        return self.spent / self.spec.budget.amount

    @property
    def finished(self) -> bool:
        return self.spent >= self.spec.budget.amount

    @property
    def branch_over(self) -> bool:
        """Whether the trial is forked and its present way has spent what it may."""
        return self.branch is not None and (self.spent >= self.branch.ends_at or self.finished)

    @property
    def evaluation_due(self) -> bool:
        return self.counters.step % self.spec.train.eval_every == 0 or self.finished or self.branch_over

    def is_finite(self) -> bool:
        """Whether the training loss is still a number. Waits for the device; a NaN stays, so now and then will do."""
        return math.isfinite(float(self.loss_sum))

    def take_train_loss(self) -> float:
        """Return the mean training loss since the last call, and begin anew."""
        mean = float(self.loss_sum) / max(self.loss_count, 1)
        self.loss_sum.zero_()
        self.loss_count = 0
        return mean

    # ---- evaluation and growth ------------------------------------------------------------------------------

    def evaluate(self) -> Evaluation:
        """Evaluate on the validation split and note the loss in the counters: the last one that was a finite number."""
        evaluation = self.measure()
        if math.isfinite(evaluation.loss):
            self.counters.note(evaluation.loss)
        return evaluation

    def measure(self) -> Evaluation:
        """Evaluate on the validation split, and note nothing."""
        return self._validation.evaluate(self.model)

    def block_metrics(self) -> dict[str, float]:
        """Metrics of the blocks on the first validation windows, such as how experts are loaded."""
        train = self.spec.train
        return block_metrics(self.model, self.corpus.val, train.seq_len, train.batch_size, train.precision, self.device)

    def adopt_units(self, grown: Sequence[Grown]) -> None:
        """Hand the parameters of units that just entered to the optimizer, with what their originals' moments leave."""
        growth, units = self.growth, list(self.model.units)
        named = self.named_parameters()
        self.optimizer.rename(named)  # those of units that became one
        identities = dict(zip(units, growth.unit_identities, strict=True))
        newborn: list[tuple[str, nn.Parameter]] = []
        originals: dict[str, str] = {}
        for unit in grown:
            prefix = unit_prefix(identities[unit.unit])
            self.grown.append(format_blocks(unit.blocks))
            own = [(name, each) for name, each in named if name.startswith(prefix) and name not in self.optimizer.born]
            newborn += own
            if unit.original is not None:
                of = unit_prefix(identities[unit.original])
                originals |= {name: of + name.removeprefix(prefix) for name, _ in own}
        self.optimizer.adopt(newborn, born=self.counters.step)
        self.optimizer.inherit(originals, scale=growth.spec.moment_scale)
        self.refit_step()

    def refit_step(self) -> None:
        """Fit the step to what trains now.

        Its work changes when a unit enters and when parameters are frozen or freed.
        """
        self.forget_recordings()
        units = [
            TrainedUnit(
                blocks=self.model.blocks_of(unit),
                frozen=not all(parameter.requires_grad for parameter in unit.parameters()),
            )
            for unit in self.model.units
        ]
        train = self.spec.train
        self.flops_per_step = training_flops(
            units,
            self.model.layout,
            self.model.vocab_size,
            train.seq_len,
            train.batch_size,
            rest_frozen=not self.model.embedding.weight.requires_grad,
            recompute=train.recompute,
        )

    def forget_recordings(self) -> None:
        """Give back what is recorded: it computes what was, on tensors that were."""
        self._validation.forget()
        self.engine.forget()

    @property
    def recorded_bytes(self) -> int:
        """Bytes of the device that are kept for what is recorded."""
        return self.engine.held + self._validation.held

    def named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        """Parameters by names that stay when a unit enters below them, in the model's order."""
        return list(named_by_identity(self.model, self.growth.unit_identities))

    @property
    def n_params(self) -> int:
        return sum(parameter.numel() for parameter in self.model.parameters())


def fresh_run(spec: TrialSpec, corpus: Corpus, device: torch.device) -> TrialRun:
    """Make a trial at step 0. Seeds torch's generators; the initial weights do not depend on the device."""
    return assemble_run(spec, corpus, device, grown=(), born={})


def assemble_run(
    spec: TrialSpec,
    corpus: Corpus,
    device: torch.device,
    *,
    grown: Sequence[str],
    born: Mapping[str, int],
    positions: Sequence[int] = (),
    enclosed: Sequence[int] = (),
) -> TrialRun:
    """Make a run at step 0 whose model has grown units of these blocks, one after another.

    A checkpoint is loaded into it.

    The whole layout would not do: a unit that grew need not be one that the layout's blocks are grouped into.
    `positions` gives where each entered, () that all were put on top; `enclosed` how many old units became it, () that
    none did; `born` the step at which each parameter entered.
    """
    model, optimizer, growth = _parts(
        spec, corpus, device, grown=grown, born=born, positions=positions, enclosed=enclosed
    )
    run = TrialRun(
        spec=spec,
        corpus=corpus,
        device=device,
        model=model,
        optimizer=optimizer,
        growth=growth,
        grown=list(grown),
        loss_sum=torch.zeros((), device=device),
        grad_norm=torch.zeros((), device=device),
    )
    run.refit_step()
    return run


def _parts(
    spec: TrialSpec,
    corpus: Corpus,
    device: torch.device,
    *,
    grown: Sequence[str],
    born: Mapping[str, int],
    positions: Sequence[int],
    enclosed: Sequence[int],
) -> tuple[LanguageModel, GrowingOptimizer, GrowthProtocol]:
    layout = parse(spec.layout)
    if n_positions(layout.front, layout.d_model, spec.train.seq_len) < min(2, spec.train.seq_len):
        raise SpecError(
            f"train.seq_len {spec.train.seq_len} holds fewer than two patches of front={layout.front}; raise it"
        )
    max_depth = spec.growth.max_depth if spec.growth.grows else n_held(layout.blocks)
    model = build_model(
        layout,
        vocab_size=corpus.tokenizer.vocab_size,
        max_depth=max_depth,
        dropout=spec.train.dropout,
        seed=spec.seed,
    ).to(device)
    positions = list(positions) or [len(model.units) + at for at in range(len(grown))]
    enclosed = list(enclosed) or [0] * len(grown)
    for position, n_units, blocks in zip(positions, enclosed, grown, strict=True):
        del model.units[position : position + n_units]
        model.insert_unit(position, model.make_unit(parse_blocks(blocks)))
    model.train()
    model.recompute = spec.train.recompute
    growth = GrowthProtocol(spec.growth, model, seed=spec.seed, positions=positions, enclosed=enclosed)
    named = named_by_identity(model, growth.unit_identities)
    optimizer = GrowingOptimizer(named, spec.train, device, born, new_decay_factor=spec.growth.new_decay_factor)
    return model, optimizer, growth
