"""A study: what to search, on which data, for how long. Read from YAML by growlab.study.file.

A study is explicit once read: every default is written into it, so that a stored study
means the same under a later growlab.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from growlab.domains import Domain, Fixed, Value
from growlab.errors import SpecError
from growlab.escapes import quoted
from growlab.layout import OptionValue
from growlab.named import Named
from growlab.records import Loss, PastTrial
from growlab.rungs import Rungs
from growlab.scalar import setting
from growlab.specs import BudgetSpec, DataSpec, StageSpec, require_curriculum
from growlab.stopping import StopRules
from growlab.study.limits import Limits
from growlab.study.objectives import Constraint, Objective, first_loss, require_sound

MAX_TRIALS = 10**9  # their numbers are 32-bit integers in SQL

PLAIN = "plain"  # no front end or head of a layout's own


@dataclass(frozen=True, kw_only=True)
class FromLayer:
    """Which sequence mixers stand where: attention below layer k, say, and SSMs from there on.

    Layers are counted from 0 at the input side, one for each sequence mixer.
    """

    layer: tuple[int, ...] = setting(type="list of numbers", range="at least 0", help="k is one of these")
    below: tuple[str, ...] = setting(type="list", help="entries of layouts.blocks that may stand in the layers below k")
    above: tuple[str, ...] = setting(type="list", help="those that may stand in layer k and above it")


@dataclass(frozen=True, kw_only=True)
class LayoutSpace:
    """Which layouts may be drawn."""

    blocks: Mapping[str, Mapping[str, tuple[OptionValue, ...]]] = setting(
        type="section",
        help="kind, or a nest such as mix(attn,ssm), to its options, each with the values to draw from; an option left "
        "out is drawn from its kind's own list (growlab blocks)",
    )
    d_model: tuple[int, ...] = setting(
        type="number or list", range="at least 1", help="width of the residual stream, to draw from"
    )
    depth: tuple[int, int] = setting(
        type="number or {low, high}", range="at least 1", help="blocks at the start of training, fewest and most"
    )
    front: tuple[str, ...] = setting(
        type="list", default=(PLAIN,), help="front ends to draw from, such as patch[size=4]; plain: none"
    )
    head: tuple[str, ...] = setting(type="list", default=(PLAIN,), help="heads to draw from; plain: none")
    from_layer: FromLayer | None = setting(
        type="section", default=None, help="which sequence mixers stand where: attention below layer k, say"
    )
    motif_share: float = setting(
        type="number",
        range="between 0 and 1",
        default=0.85,
        help="of the layouts that are drawn at random, those that repeat a motif of one or two units; the others are "
        "drawn unit by unit",
    )
    weights: Mapping[str, float] = setting(
        type="section",
        factory=dict,
        help="such as {mamba2: 3}: how much likelier an entry of layouts.blocks is than one that is not named, where a "
        "block is drawn at random, inserted or put in the place of another",
    )
    at_least_one_of: tuple[str, ...] = setting(
        type="list",
        default=(),
        help="block kinds, such as [attn, hebbian, hopfield]: every layout that is proposed has one of them, be it in "
        "a nest; layouts.start_with need not",
    )
    start_with: tuple[str, ...] = setting(type="list of layouts", default=(), help="layouts to try first")
    max_params: int = setting(
        type="whole number", range="at least 0", default=0, help="parameters of a layout, at most; 0: no limit"
    )
    max_grown_params: int = setting(
        type="whole number",
        range="at least 0",
        default=0,
        help="parameters of the largest model that a trial can become, at most, where its growth plan says how often "
        "it grows; 0: no limit",
    )
    max_flops_per_token: int = setting(
        type="whole number",
        range="at least 0",
        default=0,
        help="FLOPs of the forward pass for a token, at train.seq_len, of that model, at most; 0: no limit",
    )
    max_state: int = setting(
        type="whole number",
        range="at least 0",
        default=0,
        help="numbers that it carries from token to token when it writes, at train.seq_len, at most; 0: no limit",
    )
    max_memory: int = setting(
        type="whole number",
        range="at least 0",
        default=0,
        help="bytes that training it takes by growlab's estimate, at train.batch_size and train.seq_len, at most, "
        "corrected by what the study's own trials took of a GPU; 0: no limit",
    )


@dataclass(frozen=True, kw_only=True)
class Transferred:
    """What another study had found when this one was created; no file says it, and nothing changes it later."""

    scalars: Mapping[str, Domain]  # that the other one searched, by full name
    trials: tuple[PastTrial, ...]  # of the other one, that reached its objective


@dataclass(frozen=True, kw_only=True)
class SamplerSpec(Named):
    """The sampler that decides what to try next; in a file its options stand beside its name."""

    start_with: Mapping[str, Mapping[str, OptionValue]] = setting(
        type="section",
        factory=dict,
        help="such as {train: {lr: 1e-3}}: what the trials of layouts.start_with take of that which is searched",
    )
    transfer_from: str = setting(
        type="text",
        default="",
        help="a study of the same database that is over; what it found is kept with this one when it is created, and a "
        "sampler that models the objective (model) begins with it",
    )
    transferred: Transferred | None = None  # of that study, once this one is stored


@dataclass(frozen=True, kw_only=True)
class Study:
    name: str = setting(
        type="text",
        range="at most 100 letters, digits, '.', '_' and '-', beginning with a letter or digit",
        help="what commands call the study",
    )
    data: DataSpec  # the two hashes are filled in when the study is created, and dtype where it is auto
    layouts: LayoutSpace
    budget: BudgetSpec
    n_trials: int = setting(type="whole number", range=f"between 1 and {MAX_TRIALS}", help="how many trials it has")
    repeats: int = setting(
        type="whole number",
        range="at least 1",
        default=1,
        help="trials of each proposal, one after another, with seeds of their own that all proposals share",
    )
    train: Mapping[str, Domain]  # by key
    growth: Mapping[str, Domain]  # by key, as growlab.study.growth_section has them: 'trigger.stagnation.tau_crit'
    sampler: SamplerSpec
    objectives: tuple[Objective, ...] = (Objective(),)
    constraints: tuple[Constraint, ...] = ()
    limits: Limits = field(default_factory=Limits)  # budget.study and stop_when
    rungs: Rungs | None = None  # None: no trial waits on its way
    stop: StopRules | None = None  # None: every trial is trained to its end
    curriculum: tuple[StageSpec, ...] = ()  # the same for every trial; its hashes are filled in likewise
    seed: int = setting(type="whole number", default=0, help="of everything that is drawn")

    def __post_init__(self) -> None:
        require_curriculum(self.curriculum)
        require_sound(self.objectives)
        if not re.fullmatch(r"\w[\w.-]{0,99}", self.name):  # it names a folder and stands on command lines
            raise SpecError(
                f"name must begin with a letter or digit and hold at most 100 letters, digits, '.', '_' and '-', "
                f"got {quoted(self.name)}"
            )
        if not 1 <= self.n_trials <= MAX_TRIALS:
            raise SpecError(f"n_trials must be between 1 and {MAX_TRIALS}, got {self.n_trials}")
        if self.repeats < 1:
            raise SpecError(f"repeats must be at least 1, got {self.repeats}")
        if self.limits.stop_when and self.constraints:
            raise SpecError("stop_when: a trial beyond a constraint would end the study too; leave out one of the two")
        if self.rungs is not None:
            self._require_marks_that_fit("rungs")
        if self.stop is not None:
            self._require_stop_rules_that_fit(self.stop)

    def _require_marks_that_fit(self, section: str) -> None:
        if self.budget.unit != "flops":
            raise SpecError(
                f"{section}: trials are compared by what they spent, in FLOPs; give the study budget.flops in place of "
                f"budget.{self.budget.unit} {self.budget.amount}, or leave {section} out"
            )
        if self.repeats > 1:
            raise SpecError(f"{section}: single trials are compared; leave {section} out, or repeats {self.repeats}")

    def _require_stop_rules_that_fit(self, stop: StopRules) -> None:
        if self.repeats > 1:
            raise SpecError(f"stop: the mean of repeats is of whole trials; leave it out, or repeats {self.repeats}")
        if stop.median is None:
            return
        self._require_marks_that_fit("stop.median")
        if self.rungs is not None:
            raise SpecError("stop.median: rungs compare trials already; leave out one of the two")

    @property
    def read_at(self) -> Rungs | None:
        """The marks at which trials are read and compared, whether they wait there or not; None where nowhere."""
        return self.rungs or (self.stop.marks if self.stop else None)

    @property
    def objective(self) -> Objective:
        """The first objective: it ranks trials where one number is needed."""
        return self.objectives[0]

    @property
    def loss(self) -> Loss:
        """The metric of the first objective."""
        return first_loss(self.objectives)

    @property
    def judged(self) -> tuple[Objective | Constraint, ...]:
        """All that trials are judged by, objectives first."""
        return (*self.objectives, *self.constraints)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Keys of all metrics that trials are judged by, that of the first objective first."""
        return tuple(dict.fromkeys(judged.key for judged in self.judged))

    def values_of(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """All objectives of a trial with these metrics, lower is better in each; () where one is not known."""
        if any(objective.key not in metrics for objective in self.objectives):
            return ()
        return tuple(objective.lower_is_better(metrics[objective.key]) for objective in self.objectives)

    def is_feasible(self, metrics: Mapping[str, float]) -> bool:
        """Whether every constraint is known to hold for a trial with these metrics."""
        return all(bound.key in metrics and bound.holds(metrics[bound.key]) for bound in self.constraints)

    @property
    def n_proposals(self) -> int:
        """The number of layouts with their scalars that trials are made of."""
        return -(-self.n_trials // self.repeats)

    def starts(self) -> dict[str, Value]:
        """Values of searched scalars for the layouts to start with, by full name; what the study fixes stays fixed."""
        sections = self.sampler.start_with.items()
        given = {f"{part}.{key}": value for part, keys in sections for key, value in keys.items()}
        searched = {name for name, domain in self.scalars().items() if not isinstance(domain, Fixed)}
        return {name: value for name, value in given.items() if name in searched}

    def scalars(self) -> dict[str, Domain]:
        """All train.* and growth.* domains by their full name, in a fixed order: by the last part of the key."""
        sections = {"train": self.train, "growth": self.growth}
        return {
            f"{section}.{key}": domains[key]
            for section, domains in sections.items()
            for key in sorted(domains, key=lambda key: (key.rpartition(".")[2], key))
        }
