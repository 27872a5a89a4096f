"""The file of an ablation: named arms over one study's data, training and budget.

name: doubling
data: {path: corpus.txt}
train: {batch_size: 64, seq_len: 256}
budget: {flops: 2e14}                 # of every arm
repeats: 4
arms:
  early-double: {layout: "d=192 (attn mlp)x4", growth: early-double}
  silent: {layout: "d=192 (attn mlp)x4", growth: {preset: early-double, entry_scale: 0.0}}
tune: {train.lr: [2e-3, 4e-3]}        # for each arm, and for each depth of the envelope
envelope: {of: early-double, budgets: [0.5, 1, 1.4, 2]}
primary: [early-double]

The envelope's depths are the one that its arm ends with, a quarter of its units less, and more; or those of
`units: {6: [0.5, 1], 8: [1, 2]}`, by number, each at budgets of its own. `train` has values that un-grown training has
in place of the arm's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from growlab.errors import SpecError, UnknownName, did_you_mean
from growlab.escapes import quoted
from growlab.layout import OptionValue
from growlab.scalar import require
from growlab.study.checking import refuse_unknown, require_mapping, validated
from growlab.study.overrides import apply_overrides
from growlab.study.reading import positive
from growlab.yaml_file import read_yaml

FINAL_DEPTH_OF = "final_depth_of"
_SECTIONS = ("name", "seed", "data", "train", "budget", "repeats", "arms")
_OF_ITS_OWN = ("tune", "tuning_seeds", "envelope", "primary", "against", "margin", "look")
_OF_THE_DEPTH = ("units", "factor", "unit", "max_depth", "trigger")  # keys of growth that decide it
BUDGETS = (0.5, 0.7, 1.0, 1.4, 2.0, 2.5)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What one side of a comparison is: a layout, and sections that replace or add to those of the file."""

    name: str
    layout: str  # a layout's text; '' where it is the one that another arm ends with
    final_depth_of: str  # that arm, or ''
    train: Mapping[str, Any]
    growth: Any  # as a study file has it
    budgets: tuple[float, ...] = (1.0,)  # shares of the arms' budget at which it is repeated: several of the envelope


@dataclass(frozen=True, kw_only=True)
class EnvelopePlan:
    """Un-grown training of several depths at several budgets, in the arms' budget."""

    of: str  # the arm whose last layout it has units of
    budgets: tuple[float, ...]  # all of them, rising
    units: Mapping[int, tuple[float, ...]]  # number of units to its budgets; {}: the last depth, one below, one above
    train: Mapping[str, Any]  # what replaces or adds to the arm's


@dataclass(frozen=True, kw_only=True)
class Ablation:
    name: str
    seed: int
    file: Path  # in its folder relative paths are meant
    data: Mapping[str, Any]
    train: Mapping[str, Any]
    flops: int  # that each arm may spend
    repeats: int
    arms: Mapping[str, Arm]
    tune: Mapping[str, tuple[OptionValue, ...]]  # full name to the values to begin with
    tuning_seeds: int
    envelope: EnvelopePlan | None
    primary: tuple[str, ...]  # arms whose comparison was named before the first run
    against: (
        str  # an arm that the others' val_loss is compared with; '' where the envelope is what they are measured by
    )
    margin: float  # the least that matters: a share of compute, or nats beside `against`
    look: int  # 2 where repeats were raised to the number that a first look asked for


def read_ablation(path: Path, overrides: Sequence[str] = (), name: str = "") -> Ablation:
    """Read an ablation, `key.path=value` overrides applied. Raises SpecError, whose message begins with the file."""
    try:
        raw = read_yaml(path)
        apply_overrides(raw, overrides)
        return _ablation(raw | ({"name": name} if name else {}), path)
    except (SpecError, UnknownName) as error:
        raise SpecError(f"{path}: {error}") from None


def _ablation(raw: Mapping[str, Any], file: Path) -> Ablation:
    refuse_unknown("", raw, (*_SECTIONS, *_OF_ITS_OWN))
    for key in ("name", "budget", "arms"):
        require(key in raw, key, "said", "nothing")
    arms = _arms(raw["arms"])
    envelope = _envelope(raw["envelope"], arms) if "envelope" in raw else None
    against = _arm_named("against", raw["against"], arms) if "against" in raw else ""
    if (envelope is None) == (not against):
        raise SpecError("write either envelope (what arms save of un-grown training) or against: ARM (nats), not both")
    primary = tuple(validated("primary", raw.get("primary", []), list[str]))
    for arm in primary:
        _arm_named("primary", arm, arms)
        require(arm != against, "primary", f"arms other than {against}, which the others are compared with", arm)
    margin = float(validated("margin", raw.get("margin", 0.05 if envelope else 0.005), float))
    require(margin > 0 and math.isfinite(margin), "margin", "a number greater than 0", margin)
    look = validated("look", raw.get("look", 1), int)
    require(look in (1, 2), "look", "1, or 2 after 'cannot tell' at the first", look)
    return Ablation(
        name=validated("name", raw["name"], str),
        seed=validated("seed", raw.get("seed", 0), int),
        file=file,
        data=dict(require_mapping("data", raw.get("data", {}))),
        train=dict(require_mapping("train", raw.get("train", {}))),
        flops=_flops(raw["budget"]),
        repeats=positive("repeats", raw.get("repeats", 4)),
        arms=arms,
        tune=_tune(raw.get("tune", {})),
        tuning_seeds=positive("tuning_seeds", raw.get("tuning_seeds", 1)),
        envelope=envelope,
        primary=primary,
        against=against,
        margin=margin,
        look=look,
    )


def _arms(raw: Any) -> dict[str, Arm]:
    arms = {str(name): _arm(str(name), section) for name, section in require_mapping("arms", raw).items()}
    if not arms:
        raise SpecError("arms must be at least one arm, got none")
    if len(arms) < len(raw):
        raise SpecError(f"arms: two of them have one name; they are read as {', '.join(arms)}")
    for arm in arms.values():
        if arm.final_depth_of:
            other = arms[_arm_named(f"arms.{arm.name}.layout.{FINAL_DEPTH_OF}", arm.final_depth_of, arms)]
            require(
                not other.final_depth_of,
                f"arms.{arm.name}.layout.{FINAL_DEPTH_OF}",
                "an arm with a layout of its own",
                other.name,
            )
    return arms


def _arm(name: str, raw: Any) -> Arm:
    key = f"arms.{name}"
    refuse_unknown(f"{key}.", require_mapping(key, raw), ("layout", "train", "growth"))
    require("layout" in raw, f"{key}.layout", f"a layout, or {{{FINAL_DEPTH_OF}: ARM}}", "nothing")
    layout, of = raw["layout"], ""
    if isinstance(raw["layout"], Mapping):
        refuse_unknown(f"{key}.layout.", raw["layout"], (FINAL_DEPTH_OF,))
        layout, of = "", str(raw["layout"].get(FINAL_DEPTH_OF))
    return Arm(
        name=name,
        layout=validated(f"{key}.layout", layout, str),
        final_depth_of=of,
        train=dict(require_mapping(f"{key}.train", raw.get("train", {}))),
        growth=raw.get("growth", False),
    )


def _arm_named(key: str, name: Any, arms: Mapping[str, Arm]) -> str:
    if str(name) not in arms:
        raise SpecError(f"{key} must be an arm, {', '.join(arms)}, got {quoted(name)}.{did_you_mean(str(name), arms)}")
    return str(name)


def _envelope(raw: Any, arms: Mapping[str, Arm]) -> EnvelopePlan:
    refuse_unknown("envelope.", require_mapping("envelope", raw), ("of", "budgets", "units", "train"))
    of = _arm_named("envelope.of", raw.get("of"), arms)
    if "units" in raw and "budgets" in raw:
        raise SpecError("envelope.units says at which budgets each depth is trained; leave out envelope.budgets")
    units = _units(raw["units"]) if "units" in raw else {}
    key, listed = "envelope.budgets", raw.get("budgets", list(BUDGETS))
    if units:
        key, listed = "envelope.units", [budget for budgets in units.values() for budget in budgets]
    train = dict(require_mapping("envelope.train", raw.get("train", {})))
    return EnvelopePlan(of=of, budgets=_shares(key, listed, at_least=2), units=units, train=train)


def _units(raw: Any) -> dict[int, tuple[float, ...]]:
    listed = require_mapping("envelope.units", raw).items()
    units = {positive("envelope.units", number): _shares(f"envelope.units.{number}", each) for number, each in listed}
    require(bool(units), "envelope.units", "at least one number of units", "none")
    return dict(sorted(units.items()))


def _shares(key: str, raw: Any, *, at_least: int = 1) -> tuple[float, ...]:
    """Different shares of the budget, rising."""
    shares = set(validated(key, raw, list[float]))
    enough = len(shares) >= at_least and all(0 < share < math.inf for share in shares)
    expected = "two shares or more, all above 0" if at_least > 1 else "a list of shares, all above 0"
    require(enough, key, expected, raw)
    return tuple(sorted(shares))


def _tune(raw: Any) -> dict[str, tuple[OptionValue, ...]]:
    tune: dict[str, tuple[OptionValue, ...]] = {}
    for name, values in require_mapping("tune", raw).items():
        key = f"tune.{name}"
        listed = values if isinstance(values, list) else [values]
        read = validated(key, [_number(value) for value in listed], list[OptionValue])
        require(bool(read), key, "a value or a list of values", "none")
        require(str(name).partition(".")[0] in ("train", "growth"), key, "below train or growth", name)
        if str(name).rpartition(".")[2] in _OF_THE_DEPTH:
            raise SpecError(
                f"{key} changes how deep an arm ends, and so what it is measured by; make it arms of their own"
            )
        tune[str(name)] = tuple(read)
    return tune


def _number(value: Any) -> Any:
    """The number that YAML 1.1 reads as a text: 1e-3."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _flops(raw: Any) -> int:
    refuse_unknown("budget.", require_mapping("budget", raw), ("flops",))
    flops = _number(raw.get("flops"))
    return positive("budget.flops", flops)
