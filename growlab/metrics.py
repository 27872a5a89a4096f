"""The table of metrics: what a study may want of a trial, as low or as high as possible or within bounds.

    of its result       val_loss, best_val_loss, bits_per_byte
    of its rows         train_tokens_per_s, accuracy
    of its layout       params, flops_per_token, state_size, memory: exact, and known before anything is trained
    of its last model   decode_tokens_per_s, and what plugins register: measured once, at the end of a completed trial,
                        where its study asks for it, and a row then

A study names one by its key: its name, and in brackets the options that it was given, state_size[seq_len=4096].
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, get_args, runtime_checkable

from growlab.domains import Value
from growlab.errors import UnknownName
from growlab.layout import Layout
from growlab.named import Options, Part
from growlab.records import AS_IT_WAS, DROPPED_STEPS, GROWN, LOSSES, PEAK_MEMORY, Loss
from growlab.registry import Registry
from growlab.scalar import default_values, scalar
from growlab.specs import GrowthSpec, TrainSpec

Direction = Literal["minimise", "maximise"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)

N_SPEEDS = 20  # newest rows of a trial's speed, of which the median counts


@runtime_checkable
class Costs(Protocol):
    """What layouts cost over a vocabulary, as growlab.model.cost.Costs counts it. Called, it counts parameters."""

    def __call__(self, layout: Layout) -> int: ...

    def flops_per_token(self, layout: Layout, seq_len: int) -> int: ...

    def state_size(self, layout: Layout, seq_len: int) -> int: ...

    def memory(self, layout: Layout, train: TrainSpec, window: int) -> int: ...


@dataclass(frozen=True)
class Trial:
    """What the costs of a layout depend on besides itself."""

    train: TrainSpec
    growth: GrowthSpec


@dataclass(frozen=True)
class OfResult:
    """A column of a trial's result."""

    column: Loss


@dataclass(frozen=True)
class OfRows:
    """The median of the newest rows that training recorded."""

    split: str
    name: str
    n_newest: int = 1


@dataclass(frozen=True)
class OfLayout:
    """A number that a layout alone tells: of a trial that is over its last one, else the largest that it becomes."""

    amount: Callable[[Any, Layout, Trial, Any], int]  # of Costs, or for params what counts them, and of options
    unit: str


@dataclass(frozen=True)
class OfModel:
    """A number that is measured on the last model: a function of it, the corpus and the device. Opaque here."""

    measure: Callable[..., float]


Source = OfResult | OfRows | OfLayout | OfModel


@dataclass(frozen=True, kw_only=True)
class MetricPart(Part):
    """A registered metric."""

    direction: Direction  # of an objective that names none

    @property
    def source(self) -> Source:
        source: Source = self.make  # type: ignore[assignment]  # what a part makes is its room's affair
        return source


METRICS: Registry[MetricPart] = Registry("metric")

AT_END = "train"  # the split of rows that hold what was measured at the end
# Other rows of that split, which no metric may be named like.
_OF_TRAINING = {"loss", "lr", "grad_norm", "tokens_per_s", "flops", "tokens", "stage", "plasticity", "pause_s"}
_OF_TRAINING |= {"lasting_drift", "back_test", PEAK_MEMORY, AS_IT_WAS, GROWN, DROPPED_STEPS}

T = TypeVar("T", bound=Callable[..., float])


def register_metric(name: str, summary: str, *, direction: Direction) -> Callable[[T], T]:
    """Decorator for a function (model, corpus, device) → number, asked once of each completed trial.

    The model is in evaluation mode, on its device, and as training left it; the function must not change it. A study
    asks for it by its name: `objectives: [val_loss, NAME]`, `constraints: {NAME: {at_most: …}}`.
    """

    def add(measure: T) -> T:
        if name in _OF_TRAINING or not name.isidentifier():
            raise ValueError(f"metric {name!r}: rows of training are named so, or it is no plain word; choose another")
        _add(name, summary, direction, OfModel(measure))
        return measure

    return add


def key_of(name: str, options: Mapping[str, Value]) -> str:
    """The metric with the options that it was given, as reports and rows name it: state_size[seq_len=4096]."""
    given = ",".join(f"{option}={value}" for option, value in options.items())
    return f"{name}[{given}]" if given else name


def options_of(name: str, given: Mapping[str, Value]) -> Any:
    """The options of a metric, those that are not given as their defaults. Raises NotRegistered, SpecError."""
    part = METRICS[name]
    return part.read(default_values(part.options) | dict(given))


def tells(metric: str) -> bool:
    """Whether a layout alone tells what the metric says."""
    return metric in METRICS and isinstance(METRICS[metric].source, OfLayout)


def is_measured_at_end(metric: str) -> bool:
    """Whether a trial has it as a row of its end, where its study asked; params is a column of every result."""
    source = METRICS[metric].source if metric in METRICS else None  # a plugin's, which is not here
    return metric != "params" and (source is None or isinstance(source, OfLayout | OfModel))


def name_of(key: str) -> str:
    """The name of the metric that a key is of."""
    return key.partition("[")[0]


def rows_of(key: str) -> OfRows:
    """Where the value of a metric lies among a trial's rows. Raises UnknownName for one that is no row.

    What no table here knows is a plugin's.
    """
    name = name_of(key)
    match METRICS[name].source if name in METRICS else None:
        case OfRows() as rows:
            return rows
        case OfResult():
            raise UnknownName("metric of rows", key, [known for known in METRICS if known not in LOSSES])
    return OfRows(AT_END, key)


def _add(name: str, summary: str, direction: Direction, source: Source, options: type[Options] = Options) -> None:
    section = f"objectives.{name}"
    METRICS.add(
        name,
        MetricPart(
            name=name,
            section=section,
            summary=summary,
            options=options,
            make=source,  # type: ignore[arg-type]  # see MetricPart.source
            direction=direction,
        ),
    )


# ---- the table -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class StateSizeOptions(Options):
    seq_len: int = scalar(0, at_least=0, help="tokens after which the state is counted; 0: the trial's train.seq_len")


def _params(costs: Costs, layout: Layout, trial: Trial, options: Options) -> int:
    return costs(layout)


def _flops_per_token(costs: Costs, layout: Layout, trial: Trial, options: Options) -> int:
    return costs.flops_per_token(layout, trial.train.seq_len)


def _state_size(costs: Costs, layout: Layout, trial: Trial, options: StateSizeOptions) -> int:
    return costs.state_size(layout, options.seq_len or trial.train.seq_len)


def _memory(costs: Costs, layout: Layout, trial: Trial, options: Options) -> int:
    return costs.memory(layout, trial.train, trial.growth.history_window_size)


_LOSSES: Mapping[Loss, str] = {
    "val_loss": "nats per token, at the last evaluation",
    "best_val_loss": "the lowest val_loss of all evaluations",
    "bits_per_byte": "the last val_loss per byte of text",
}
for _loss, _summary in _LOSSES.items():
    _add(_loss, _summary, "minimise", OfResult(_loss))

_add("accuracy", "share of a synthetic task's right answers", "maximise", OfRows("val", "accuracy"))
_add(
    "train_tokens_per_s",
    f"speed of training where it was trained, median of its last {N_SPEEDS} rows",
    "maximise",
    OfRows("train", "tokens_per_s", N_SPEEDS),
)
_add("params", "of the model", "minimise", OfLayout(_params, "parameters"))
_add("flops_per_token", "of the forward pass", "minimise", OfLayout(_flops_per_token, "FLOPs per token"))
_STATE = "numbers carried from token to token when it writes"
_add("state_size", _STATE, "minimise", OfLayout(_state_size, "numbers of state"), StateSizeOptions)
_add("memory", "bytes of training, by growlab's estimate", "minimise", OfLayout(_memory, "bytes of memory"))
