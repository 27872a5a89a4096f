"""What is asked of one trial. A TrialSpec holds all that determines a run: no defaults, no look-ups.

Every value here is final. What a study may say of each, and gets when it is silent, is declared beside it
(growlab.scalar). A spec checks itself and raises SpecError with the key and what it got.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from growlab.domains import Choice, Range
from growlab.errors import LayoutError, SpecError
from growlab.layout import n_held, parse, parse_blocks
from growlab.named import Named
from growlab.recipes import NEVER, Sort
from growlab.scalar import check_scalars, either, require, scalar, setting

BudgetUnit = Literal["flops", "tokens", "steps"]
BUDGET_UNITS: tuple[BudgetUnit, ...] = ("flops", "tokens", "steps")

DEFAULT_PARTS: Mapping[Sort, str] = {"trigger": NEVER, "operator": "aiether", "position": "append"}  # of a silent study
WATCH_NEWEST, WATCH_ALL = "newest", "all"
_FEWEST_TOKENS = {"bpe": 256, "ids": 2}  # of the tokenizers whose vocabulary has a size of its own


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    source: str = scalar("text", help="a registered source: stdlib, text, jsonl, hf, recall, …")
    path: str = scalar("", help="path of the corpus; for hf its name; empty for an embedded or a synthetic one")
    tokenizer: str = scalar(
        "char",
        choices=("char", "byte", "bpe", "file", "ids"),
        help="char | byte | bpe (learnt from the train split) | file | ids (the source has nothing else)",
    )
    val_fraction: float = scalar(
        0.05, above=0, below=1, help="of the training part, taken from its end; search and triggers see only this"
    )
    test_fraction: float = scalar(
        0.1, at_least=0, below=1, help="of the whole, taken from its end; read once per finalist"
    )
    sha256: str = scalar("", help="of the corpus text in UTF-8, recorded with the study; another text is refused")
    column: str = scalar(
        "text", since="0.1.0", before="text", help="of a table's rows (jsonl, parquet, hf); a.b is b of what a holds"
    )
    vocab_size: int = scalar(
        0,
        at_most=2**20,  # learning byte pairs takes memory for as many as are asked for, before the first is found
        since="0.1.0",
        before=0,
        help="bpe: tokens to learn, at most; ids: how many there are; else 0",
    )
    tokenizer_path: str = scalar(
        "", since="0.1.0", before="", help="of tokenizer file: a tokenizer.json, ours or of the package tokenizers"
    )
    tokenizer_sha256: str = scalar(
        "", since="0.1.0", before="", help="of a bpe's or file's definition, recorded with the study"
    )
    n_items: int = scalar(
        0, at_least=0, since="0.1.0", before=0, help="of a synthetic task: pairs, symbols or needles in a sequence"
    )
    dtype: str = scalar(
        "auto",
        choices=("auto", "uint16", "uint32"),
        since="0.1.0",
        before="uint16",
        help="of the ids of a .bin: uint16 or uint32 from its first byte on, or auto: as its header says, else uint16",
    )
    train_on_val: bool = scalar(
        False,
        since="0.1.0",
        before=False,
        help="train on the val split too, for a last training after which nothing is chosen; val_loss is no judge then",
    )
    val_path: str = scalar(
        "",
        since="0.1.0",
        before="",
        help="a file or folder of its own for val, of the kind that source reads; empty: data.val_fraction of path",
    )
    val_sha256: str = scalar("", since="0.1.0", before="", help="of that, recorded with the study; empty where it is")
    skip_nulls: bool = scalar(
        False,
        since="0.1.0",
        before=False,
        help="rows of a table, or questions and answers, without a text are passed over and counted, not refused",
    )
    question: str = scalar(
        "question",
        since="0.1.0",
        before="question",
        help="of source qa: the key of what is asked; instruction+input joins those of several that are there",
    )
    answer: str = scalar("answer", since="0.1.0", before="answer", help="of source qa: the key of what is answered")
    messages: str = scalar(
        "",
        since="0.1.0",
        before="",
        help="of source qa: the key of a list of messages with role and content, instead of question and answer",
    )

    def __post_init__(self) -> None:
        check_scalars("data", self)
        if self.tokenizer in _FEWEST_TOKENS:
            fewest = _FEWEST_TOKENS[self.tokenizer]
            expected = f"at least {fewest} for data.tokenizer {self.tokenizer}"
            require(self.vocab_size >= fewest, "data.vocab_size", expected, self.vocab_size)
        else:
            require(self.vocab_size == 0, "data.vocab_size", "0 unless data.tokenizer is bpe or ids", self.vocab_size)
        if self.tokenizer == "file":
            require(self.tokenizer_path != "", "data.tokenizer_path", "the path of a tokenizer.json", "")
        else:
            expected = "empty unless data.tokenizer is file"
            require(self.tokenizer_path == "", "data.tokenizer_path", expected, self.tokenizer_path)
        for name in ("column", "question", "answer"):
            require(getattr(self, name) != "", f"data.{name}", "the name of a column", getattr(self, name))


@dataclass(frozen=True, kw_only=True)
class TrainSpec:
    batch_size: int = scalar(32, at_least=1, search=Choice(values=(16, 32, 64)), help="sequences per step")
    seq_len: int = scalar(128, at_least=1, help="tokens per sequence")
    lr: float = scalar(3e-3, above=0, search=Range(low=3e-4, high=1e-2, log=True), help="peak learning rate")
    optimizer: str = scalar(
        "adamw",
        choices=("adamw", "muon"),
        since="0.1.0",
        before="adamw",
        help="adamw | muon: matrices of blocks by orthogonalised momentum, all else by AdamW, at the same lr",
    )
    min_lr_ratio: float = scalar(0.1, at_least=0, at_most=1, help="the schedule ends at lr * min_lr_ratio")
    warmup_fraction: float = scalar(
        0.05, at_least=0, at_most=1, search=Range(low=0.01, high=0.1), help="of the budget: lr rises from 0"
    )
    decay_fraction: float = scalar(
        0.4,
        at_least=0,
        at_most=1,
        search=Range(low=0.1, high=0.6),
        help="of the budget: lr falls at the end of it",
    )
    decay_shape: str = scalar(
        "linear", choices=("linear", "cosine"), since="0.1.0", before="linear", help="of that fall: linear | cosine"
    )
    weight_decay: float = scalar(
        0.1,
        at_least=0,
        search=Range(low=0.01, high=1.0, log=True),
        help="on matrices; norms and biases are not decayed",
    )
    beta1: float = scalar(0.9, at_least=0, below=1, help="of AdamW: decay of the mean of gradients")
    beta2: float = scalar(
        0.99,
        at_least=0,
        below=1,
        search=Choice(values=(0.95, 0.99, 0.999)),
        help="of AdamW: decay of the mean of squared gradients",
    )
    grad_clip: float = scalar(1.0, above=0, help="maximum global norm of the gradient")
    dropout: float = scalar(
        0.0,
        at_least=0,
        below=1,
        search=Choice(values=(0.0, 0.1, 0.2, 0.3, 0.4)),  # blocks are compiled anew for each
        help="share of what is added to the residual stream that is left out of a step",
    )
    precision: str = scalar(
        "auto", choices=("auto", "fp32", "bf16"), help="auto (bf16 autocast on a GPU that has it) | fp32 | bf16"
    )
    eval_every: int = scalar(100, at_least=1, help="steps between full validation passes")
    recompute: bool = scalar(
        False,
        since="0.1.0",
        before=False,
        help="a block's activations are computed again in the backward pass, not kept",
    )
    init_from: str = scalar(
        "",
        since="0.1.0",
        before="",
        help="a folder that growlab export wrote: a trial begins with its weights, as far as its layout has them; "
        "empty: with those that its seed draws",
    )
    init_sha256: str = scalar("", since="0.1.0", before="", help="of that model, recorded with the study")
    init_layout: str = scalar("", since="0.1.0", before="", help="of that model, recorded with the study")

    def __post_init__(self) -> None:
        check_scalars("train", self)
        require(
            self.warmup_fraction + self.decay_fraction <= 1,
            "train.warmup_fraction + train.decay_fraction",
            "at most 1",
            self.warmup_fraction + self.decay_fraction,
        )


@dataclass(frozen=True, kw_only=True)
class GrowthSpec:
    """The way in which a model grows.

    Its parts have options of their own (growlab.recipes), here with their final values.
    """

    trigger: Named  # when
    operator: Named  # with what weights
    position: Named  # where
    history_window_size: int = scalar(
        15,
        at_least=3,
        at_most=256,
        why="a curvature needs three snapshots",
        search=Range(low=5, high=20),
        help="snapshots kept",
    )
    collect_interval_steps: int = scalar(
        100, at_least=1, search=Choice(values=(50, 100, 200)), help="steps between snapshots"
    )
    entry_scale: float = scalar(
        1.0,
        at_least=0,
        at_most=1,
        search=Choice(values=(0.0, 0.3, 1.0)),
        help="what the new units' out-projections are multiplied by: 1 as the operator made them, 0 the identity",
        since="0.1.0",
        before=0.0,
    )
    units: int = scalar(1, at_least=1, help="units that enter at once, where factor is 1", since="0.1.0", before=1)
    factor: int = scalar(
        1,
        at_least=1,
        search=Choice(values=(1, 2)),
        help="what the number of units is multiplied by: 2 doubles the stack; 1: `units` enter",
        since="0.1.0",
        before=1,
    )
    watch: str = scalar(
        WATCH_ALL,
        choices=(WATCH_NEWEST, WATCH_ALL),
        help="whose path is followed: newest (the unit that entered last; operators that follow a path make all new "
        "units of it) | all (every unit; they make each new one of the path of the unit that its position names)",
        since="0.1.0",
        before=WATCH_NEWEST,
    )
    unit: str = scalar(
        "last",
        help="what is inserted: 'last' (the kinds of the newest unit, or of the one that is copied) or blocks such as "
        "'conv mlp'",
    )
    freeze_steps: int = scalar(0, at_least=0, help="isolated warm-up: steps in which only the new units train")
    rewarm_steps: int = scalar(100, at_least=0, help="the new parameters' lr rises from 0 over so many steps")
    new_lr_factor: float = scalar(
        1.0, above=0, help="what the lr of parameters that grew is multiplied by", since="0.1.0", before=1.0
    )
    new_decay_factor: float = scalar(
        1.0,
        at_least=0,
        help="what the weight decay of parameters that grew is multiplied by",
        since="0.1.0",
        before=1.0,
    )
    moment_scale: float = scalar(
        0.0,
        at_least=0,
        at_most=1,
        help="how much of their originals' optimizer state (moments, step count) new units begin with: 0 none, 1 all",
        since="0.1.0",
        before=0.0,
    )
    cooldown_steps: int = scalar(400, at_least=0, help="steps after the isolated warm-up in which nothing is checked")
    max_depth: int = scalar(
        12, at_least=0, help="blocks, at most; 0: as many as the trigger's growths make, where their number is known"
    )

    @property
    def grows(self) -> bool:
        """Whether a model may grow at all."""
        return self.trigger.name != NEVER

    def n_entering(self, n_units: int) -> int:
        """The number of units that enter a model of `n_units` in one growth."""
        return (self.factor - 1) * n_units if self.factor > 1 else self.units

    def __post_init__(self) -> None:
        check_scalars("growth", self)
        if self.unit != "last":
            try:
                parse_blocks(self.unit)
            except LayoutError as error:
                raise SpecError(f"growth.unit must be 'last' or blocks: {error}") from None


@dataclass(frozen=True, kw_only=True)
class BudgetSpec:
    """The end of a trial: progress is what was spent over `amount`, in this unit."""

    unit: BudgetUnit
    amount: int

    def __post_init__(self) -> None:
        require(self.unit in BUDGET_UNITS, "budget.unit", either(BUDGET_UNITS), self.unit)
        require(self.amount >= 1, "budget.amount", "at least 1", self.amount)


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """A text that is read for a while, and how plastic a model is that reads it.

    Checked together, by require_curriculum.
    """

    until: float = setting(
        type="number",
        range="greater than 0 and at most 1, each above the one before, the last 1",
        help="share of the budget at which it ends: the first step that begins there belongs to the next stage",
    )
    path: str = scalar(
        "", help="of what is trained on, all of it, of the kind that data.source reads; empty: data's own train split"
    )
    sha256: str = scalar("", help="of that, recorded with the study; empty where path is")
    plasticity: float = scalar(
        0.0, at_least=0, at_most=1, help="α of every block that has one; 0: as the layout has it"
    )


def require_curriculum(stages: Sequence[StageSpec]) -> None:
    """Raise SpecError unless the stages, if there are any, follow each other to the end of the budget."""
    before = 0.0
    for at, stage in enumerate(stages):
        key = f"curriculum[{at}]"
        last = at == len(stages) - 1
        require(before < stage.until <= 1, f"{key}.until", f"above {before:g} and at most 1", stage.until)
        require(not last or stage.until == 1, f"{key}.until", "1, as it is the last stage", stage.until)
        require(0 <= stage.plasticity <= 1, f"{key}.plasticity", "greater than 0 and at most 1", stage.plasticity)
        if stage.plasticity == 0 and any(other.plasticity for other in stages):
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
            depth = n_held(parse(self.layout).blocks)
        except LayoutError as error:
            raise SpecError(f"trial.layout: {error}") from None
        if self.growth.grows and self.growth.max_depth < depth:
            raise SpecError(
                f"growth.max_depth must be at least the layout's {depth} blocks, got {self.growth.max_depth}"
            )
