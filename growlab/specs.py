"""What is asked of one trial. A TrialSpec holds all that determines a run: no defaults, no look-ups.

Every value here is final; ranges and defaults live in a study (growlab.study). Each spec checks
itself and raises SpecError with the key and what it got.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from growlab.errors import LayoutError, SpecError
from growlab.escapes import quoted
from growlab.layout import parse, parse_blocks

BudgetUnit = Literal["flops", "tokens", "steps"]

_MAX_VOCAB = 2**20  # learning byte pairs takes memory for as many as are asked for, before the first is found


def _require(condition: bool, key: str, expected: str, got: object) -> None:
    if not condition:
        raise SpecError(f"{key} must be {expected}, got {quoted(got)}")


def _require_finite(section: str, spec: object) -> None:
    for name, value in vars(spec).items():
        _require(not isinstance(value, float) or math.isfinite(value), f"{section}.{name}", "a finite number", value)


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    source: str  # a registered source: stdlib, text, jsonl, hf, recall, …
    path: str  # absolute path of the corpus; for hf its name; "" for an embedded or a synthetic one
    tokenizer: str  # char | byte | bpe (learnt from the train split) | file | ids (the source has nothing else)
    val_fraction: float  # of the training part, taken from its end; search and triggers see only this
    test_fraction: float  # of the whole, taken from its end; read once per finalist
    sha256: str  # of the corpus text in UTF-8; a worker that reads another text refuses
    column: str  # of a table's rows (jsonl, parquet, hf)
    vocab_size: int  # bpe: tokens to learn, at most; ids: how many there are; else 0
    tokenizer_path: str  # of `file`: a tokenizer.json, ours or that of the `tokenizers` package; absolute
    tokenizer_sha256: str  # of a bpe's or file's definition; a worker that has another one refuses
    n_items: int  # of a synthetic task: pairs, symbols or needles in a sequence
    dtype: str  # of the ids of a .bin: uint16 | uint32, from its first byte on | auto: as its header says, else uint16

    def __post_init__(self) -> None:
        known = ("char", "byte", "bpe", "file", "ids")
        _require(self.tokenizer in known, "data.tokenizer", "char, byte, bpe, file or ids", self.tokenizer)
        _require(0 < self.val_fraction < 1, "data.val_fraction", "between 0 and 1", self.val_fraction)
        _require(0 <= self.test_fraction < 1, "data.test_fraction", "at least 0 and below 1", self.test_fraction)
        least = {"bpe": 256, "ids": 2}.get(self.tokenizer)
        if least:
            expected = f"at least {least} for data.tokenizer {self.tokenizer}"
            _require(self.vocab_size >= least, "data.vocab_size", expected, self.vocab_size)
        else:
            _require(self.vocab_size == 0, "data.vocab_size", "0 unless data.tokenizer is bpe or ids", self.vocab_size)
        _require(self.vocab_size <= _MAX_VOCAB, "data.vocab_size", f"at most {_MAX_VOCAB}", self.vocab_size)
        if self.tokenizer == "file":
            _require(self.tokenizer_path != "", "data.tokenizer_path", "the path of a tokenizer.json", "")
        else:
            expected = "empty unless data.tokenizer is file"
            _require(self.tokenizer_path == "", "data.tokenizer_path", expected, self.tokenizer_path)
        _require(self.column != "", "data.column", "the name of a column", self.column)
        _require(self.n_items >= 0, "data.n_items", "at least 0", self.n_items)
        _require(self.dtype in ("auto", "uint16", "uint32"), "data.dtype", "auto, uint16 or uint32", self.dtype)


@dataclass(frozen=True, kw_only=True)
class TrainSpec:
    batch_size: int  # sequences per step
    seq_len: int  # tokens per sequence
    lr: float  # peak learning rate of AdamW
    min_lr_ratio: float  # the schedule ends at lr * min_lr_ratio
    warmup_fraction: float  # of the budget: lr rises from 0
    decay_fraction: float  # of the budget, at its end: lr falls to its end
    decay_shape: str  # of that fall: linear | cosine
    weight_decay: float  # on matrices; norms and biases are not decayed
    beta1: float
    beta2: float
    grad_clip: float  # maximum global norm of the gradient
    dropout: float
    precision: str  # auto (bf16 autocast on a GPU that has it) | fp32 | bf16
    eval_every: int  # steps between full validation passes
    recompute: bool  # a block's activations are computed again in the backward pass, not kept

    def __post_init__(self) -> None:
        _require_finite("train", self)
        for name in ("batch_size", "seq_len", "eval_every"):
            _require(getattr(self, name) >= 1, f"train.{name}", "at least 1", getattr(self, name))
        for name in ("lr", "grad_clip"):
            _require(getattr(self, name) > 0, f"train.{name}", "greater than 0", getattr(self, name))
        for name in ("dropout", "beta1", "beta2"):
            _require(0 <= getattr(self, name) < 1, f"train.{name}", "at least 0 and below 1", getattr(self, name))
        for name in ("min_lr_ratio", "warmup_fraction", "decay_fraction"):
            _require(0 <= getattr(self, name) <= 1, f"train.{name}", "between 0 and 1", getattr(self, name))
        _require(self.weight_decay >= 0, "train.weight_decay", "at least 0", self.weight_decay)
        _require(self.decay_shape in ("linear", "cosine"), "train.decay_shape", "linear or cosine", self.decay_shape)
        _require(self.precision in ("auto", "fp32", "bf16"), "train.precision", "auto, fp32 or bf16", self.precision)
        _require(
            self.warmup_fraction + self.decay_fraction <= 1,
            "train.warmup_fraction + train.decay_fraction",
            "at most 1",
            self.warmup_fraction + self.decay_fraction,
        )


@dataclass(frozen=True, kw_only=True)
class GrowthSpec:
    """The seed's twelve parameters under the names its users know, then ours."""

    beta0: float  # gain of the linear velocity term
    gamma0: float  # gain of the curvature correction
    eta0: float  # gain of the orthogonal escape term
    k_subspace: int  # dimension of the dynamic subspace
    ell_orth: int  # number of secondary modes in the escape direction
    patience: int  # stagnant checks in a row before growth
    threshold: float  # least relative improvement of val_loss between checks that counts as progress
    tau_crit: float
    kappa_crit: float
    warmup_steps: int  # steps before the first check
    history_window_size: int  # snapshots kept
    collect_interval_steps: int  # steps between snapshots

    trigger: str  # stagnation | never
    operator: str  # a registered operator: aiether, aiether-code, copy-last, identity
    preserve_function: bool  # zero the new unit's out-projections, so that it enters as the identity
    unit: str  # what is inserted: 'last' (the kinds of the top unit) or blocks such as 'conv mlp'
    freeze_steps: int  # isolated warm-up: steps in which only the new unit trains
    rewarm_steps: int  # the new parameters' lr rises from 0 over so many steps
    cooldown_steps: int  # steps after the isolated warm-up in which nothing is checked
    max_depth: int  # blocks, at most

    def __post_init__(self) -> None:
        _require_finite("growth", self)
        for name in ("beta0", "gamma0", "eta0", "threshold", "tau_crit", "kappa_crit"):
            _require(getattr(self, name) >= 0, f"growth.{name}", "at least 0", getattr(self, name))
        for name in ("warmup_steps", "freeze_steps", "rewarm_steps", "cooldown_steps"):
            _require(getattr(self, name) >= 0, f"growth.{name}", "at least 0", getattr(self, name))
        for name in ("k_subspace", "ell_orth", "patience", "collect_interval_steps", "max_depth"):
            _require(getattr(self, name) >= 1, f"growth.{name}", "at least 1", getattr(self, name))
        _require(
            self.history_window_size >= 3,
            "growth.history_window_size",
            "at least 3 (a curvature needs three snapshots)",
            self.history_window_size,
        )
        _require(self.history_window_size <= 256, "growth.history_window_size", "at most 256", self.history_window_size)
        _require(self.trigger in ("stagnation", "never"), "growth.trigger", "stagnation or never", self.trigger)
        if self.unit != "last":
            try:
                parse_blocks(self.unit)
            except LayoutError as error:
                raise SpecError(f"growth.unit must be 'last' or blocks: {error}") from None


@dataclass(frozen=True, kw_only=True)
class BudgetSpec:
    """When a trial ends. Progress is what was spent over `amount`, in this unit."""

    unit: BudgetUnit
    amount: int

    def __post_init__(self) -> None:
        _require(self.unit in ("flops", "tokens", "steps"), "budget.unit", "flops, tokens or steps", self.unit)
        _require(self.amount >= 1, "budget.amount", "at least 1", self.amount)


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """What is read for a while, and how plastic a model is that reads it. Checked together, by require_curriculum."""

    until: float  # progress at which it ends: the first step that begins there belongs to the next stage
    path: str  # of what is trained on, all of it, of the kind that data.source reads; "": data's own train split
    sha256: str  # of that; "" where path is
    plasticity: float  # α of every block that has one; 0: as the layout has it


def require_curriculum(stages: Sequence[StageSpec]) -> None:
    """Raise SpecError unless the stages, if there are any, follow each other to the end of the budget."""
    before = 0.0
    for at, stage in enumerate(stages):
        key = f"curriculum[{at}]"
        last = at == len(stages) - 1
        _require(before < stage.until <= 1, f"{key}.until", f"above {before:g} and at most 1", stage.until)
        _require(not last or stage.until == 1, f"{key}.until", "1, as it is the last stage", stage.until)
        _require(0 <= stage.plasticity <= 1, f"{key}.plasticity", "greater than 0 and at most 1", stage.plasticity)
        if stage.plasticity == 0 and any(each.plasticity for each in stages):
            raise SpecError(f"{key}.plasticity must be greater than 0, as other stages set one, or left out everywhere")
        before = stage.until


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    layout: str  # with every option written out
    data: DataSpec
    train: TrainSpec
    growth: GrowthSpec
    budget: BudgetSpec
    curriculum: tuple[StageSpec, ...]  # of the budget, in order; () reads data's train split throughout
    seed: int

    def __post_init__(self) -> None:
        require_curriculum(self.curriculum)
        try:
            depth = parse(self.layout).depth
        except LayoutError as error:
            raise SpecError(f"trial.layout: {error}") from None
        if self.growth.trigger != "never" and self.growth.max_depth < depth:
            raise SpecError(
                f"growth.max_depth must be at least the layout's {depth} blocks, got {self.growth.max_depth}"
            )


def field_types(spec: type[Any]) -> dict[str, type]:
    """The plain types of a spec's fields, such as {'lr': float, 'patience': int}."""
    return {name: declared for name, declared in spec.__annotations__.items() if isinstance(declared, type)}
