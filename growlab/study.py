"""A study: what to search, on which data, for how long. Read from YAML by growlab.doors.

A study is explicit once read: every default is written into it, so that a stored study
means the same under a later growlab.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from growlab.domains import Choice, Domain, Fixed, Range, Value
from growlab.errors import SpecError
from growlab.escapes import quoted
from growlab.layout import OptionValue
from growlab.specs import BudgetSpec, DataSpec, StageSpec, require_curriculum

MAX_TRIALS = 10**9  # their numbers are 32-bit integers in SQL

# What a study trains and grows with when its file is silent.
TRAIN_DEFAULTS: Mapping[str, Domain] = {
    "batch_size": Fixed(value=32),
    "seq_len": Fixed(value=128),
    "lr": Fixed(value=3e-3),
    "min_lr_ratio": Fixed(value=0.1),
    "warmup_fraction": Fixed(value=0.05),
    "decay_fraction": Fixed(value=0.4),
    "decay_shape": Fixed(value="linear"),
    "weight_decay": Fixed(value=0.1),
    "beta1": Fixed(value=0.9),
    "beta2": Fixed(value=0.99),
    "grad_clip": Fixed(value=1.0),
    "dropout": Fixed(value=0.0),
    "precision": Fixed(value="auto"),
    "eval_every": Fixed(value=100),
    "recompute": Fixed(value=False),
}
GROWTH_DEFAULTS: Mapping[str, Domain] = {
    "beta0": Fixed(value=0.1),
    "gamma0": Fixed(value=0.15),
    "eta0": Fixed(value=0.03),
    "k_subspace": Fixed(value=10),
    "ell_orth": Fixed(value=5),
    "patience": Fixed(value=5),
    "threshold": Fixed(value=0.15),
    "tau_crit": Fixed(value=2.0),
    "kappa_crit": Fixed(value=0.5),
    "warmup_steps": Fixed(value=400),
    "history_window_size": Fixed(value=15),
    "collect_interval_steps": Fixed(value=100),
    "trigger": Fixed(value="never"),
    "operator": Fixed(value="aiether"),
    "preserve_function": Fixed(value=True),
    "unit": Fixed(value="last"),
    "freeze_steps": Fixed(value=400),
    "rewarm_steps": Fixed(value=100),
    "cooldown_steps": Fixed(value=400),
    "max_depth": Fixed(value=12),
}

# What `search` means for a key: for the seed's parameters the ranges its users know.
SEARCH_RANGES: Mapping[str, Domain] = {
    "train.lr": Range(low=3e-4, high=1e-2, log=True),
    "train.weight_decay": Range(low=0.01, high=1.0, log=True),
    "train.dropout": Choice(values=(0.0, 0.1, 0.2, 0.3, 0.4)),  # blocks are compiled anew for each
    "train.warmup_fraction": Range(low=0.01, high=0.1),
    "train.decay_fraction": Range(low=0.1, high=0.6),
    "train.beta2": Choice(values=(0.95, 0.99, 0.999)),
    "train.batch_size": Choice(values=(16, 32, 64)),
    "growth.beta0": Range(low=0.05, high=0.5),
    "growth.gamma0": Range(low=0.05, high=0.3),
    "growth.eta0": Range(low=0.01, high=0.1),
    "growth.k_subspace": Range(low=5, high=30),
    "growth.ell_orth": Range(low=3, high=10),
    "growth.patience": Range(low=3, high=10),
    "growth.tau_crit": Range(low=1.5, high=3.0),
    "growth.kappa_crit": Range(low=0.3, high=1.0),
    "growth.warmup_steps": Range(low=300, high=800),
    "growth.history_window_size": Range(low=5, high=20),
    "growth.collect_interval_steps": Choice(values=(50, 100, 200)),
    "growth.operator": Choice(values=("aiether", "copy-last", "identity")),
    "growth.preserve_function": Choice(values=(True, False)),
}


PLAIN = "plain"  # no front end or head of a layout's own


@dataclass(frozen=True, kw_only=True)
class FromLayer:
    """Which sequence mixers stand where: attention below layer k, say, and SSMs from there on.

    Layers are counted from 0 at the input side, one for each sequence mixer.
    """

    layer: tuple[int, ...]  # k is one of these
    below: tuple[str, ...]  # entries of layouts.blocks that may stand in the layers below k
    above: tuple[str, ...]  # … in layer k and above it


@dataclass(frozen=True, kw_only=True)
class LayoutSpace:
    """Which layouts may be drawn."""

    # kind, or a nest such as mix(attn,ssm) -> option -> the values to draw from; an option left out is drawn from its
    # kind's own list
    blocks: Mapping[str, Mapping[str, tuple[OptionValue, ...]]]
    d_model: tuple[int, ...]
    depth: tuple[int, int]  # blocks at the start of training, fewest and most
    front: tuple[str, ...] = (PLAIN,)  # front ends to draw from, such as patch[size=4]
    head: tuple[str, ...] = (PLAIN,)  # heads to draw from
    from_layer: FromLayer | None = None
    start_with: tuple[str, ...] = ()  # layouts to try first
    max_params: int = 0  # 0: no limit


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Lower is better for all of them."""

    metric: Literal["val_loss", "best_val_loss", "bits_per_byte"] = "val_loss"


@dataclass(frozen=True, kw_only=True)
class SamplerSpec:
    startup_trials: int = 8  # drawn at random before anything is learnt
    population: int = 20  # youngest trials that may have children
    tournament: int = 5  # parents compete in groups of this size
    tries: int = 200  # draws before the space is called exhausted
    grid: bool = False  # begin with every layout of start_with at every combination of the choices
    # such as {train: {lr: 1e-3}}: what the trials of layouts.start_with take of that which is searched
    start_with: Mapping[str, Mapping[str, OptionValue]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StudyData:
    """The data section; the two hashes are filled in when the study is created, and dtype where it is auto."""

    source: str = "text"
    path: str = ""
    tokenizer: str = "char"
    val_fraction: float = 0.05
    test_fraction: float = 0.1
    sha256: str = ""
    column: str = "text"
    vocab_size: int = 0
    tokenizer_path: str = ""
    tokenizer_sha256: str = ""
    n_items: int = 0
    dtype: str = "auto"

    def spec(self) -> DataSpec:
        return DataSpec(**asdict(self))


@dataclass(frozen=True, kw_only=True)
class Study:
    name: str
    data: StudyData
    layouts: LayoutSpace
    budget: BudgetSpec
    n_trials: int
    train: Mapping[str, Domain] = field(default_factory=lambda: TRAIN_DEFAULTS)
    growth: Mapping[str, Domain] = field(default_factory=lambda: GROWTH_DEFAULTS)
    objective: Objective = Objective()
    sampler: SamplerSpec = SamplerSpec()
    curriculum: tuple[StageSpec, ...] = ()  # the same for every trial; its hashes are filled in likewise
    seed: int = 0

    def __post_init__(self) -> None:
        require_curriculum(self.curriculum)
        if not re.fullmatch(r"\w[\w.-]{0,99}", self.name):  # it names a folder and stands on command lines
            raise SpecError(
                f"name must begin with a letter or digit and hold at most 100 letters, digits, '.', '_' and '-', "
                f"got {quoted(self.name)}"
            )
        if not 1 <= self.n_trials <= MAX_TRIALS:
            raise SpecError(f"n_trials must be between 1 and {MAX_TRIALS}, got {self.n_trials}")

    def starts(self) -> dict[str, Value]:
        """Values of searched scalars for the layouts to start with, by full name; what the study fixes stays fixed."""
        sections = self.sampler.start_with.items()
        given = {f"{part}.{key}": value for part, keys in sections for key, value in keys.items()}
        searched = {name for name, domain in self.scalars().items() if not isinstance(domain, Fixed)}
        return {name: value for name, value in given.items() if name in searched}

    def scalars(self) -> dict[str, Domain]:
        """All train.* and growth.* domains by their full name, in a fixed order."""
        sections = {"train": self.train, "growth": self.growth}
        return {f"{part}.{key}": domain for part, keys in sections.items() for key, domain in sorted(keys.items())}
