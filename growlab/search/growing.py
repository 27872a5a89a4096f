"""Can a trial grow at all? When it can at the earliest, and what keeps it from growing, in words."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from growlab.domains import Domain, Fixed, corners
from growlab.kinds import Kind, units
from growlab.layout import parse, parse_blocks
from growlab.scalar import defaults_of
from growlab.search.grid import n_first
from growlab.specs import GrowthSpec
from growlab.study import Study

_SNAPSHOTS = 3  # without which there is no κ


def first_growth(*, eval_every: int, warmup_steps: int, collect_interval_steps: int, patience: int) -> int:
    """The earliest step at which a model can grow.

    Checks are made at evaluations. The first evaluation has nothing to compare its loss with, and a check needs three
    snapshots; `patience` of them in a row must be stagnant.
    """
    first_check = max(2, math.ceil(max(warmup_steps, _SNAPSHOTS * collect_interval_steps) / eval_every))
    return (first_check + patience - 1) * eval_every


def too_late(growth: Mapping[str, Any], eval_every: int, n_steps: int) -> str:
    """Why a trial of so many steps with these values cannot grow; '' where it can. It does not at its last step."""
    warmup, interval, patience = (growth[key] for key in ("warmup_steps", "collect_interval_steps", "patience"))
    first = first_growth(eval_every=eval_every, warmup_steps=warmup, collect_interval_steps=interval, patience=patience)
    if first < n_steps:
        return ""
    if warmup >= n_steps:
        return f"growth.warmup_steps {warmup} leaves none of the budget's {n_steps:,} steps; lower it"
    if _SNAPSHOTS * interval >= n_steps:
        return (
            f"growth.collect_interval_steps {interval} takes three snapshots in no less than {_SNAPSHOTS * interval} "
            f"steps, of the budget's {n_steps:,}; lower it"
        )
    return (
        f"growth.patience {patience} with train.eval_every {eval_every} and growth.warmup_steps {warmup} lets a model "
        f"grow at step {first:,} at the earliest, and the budget ends at {n_steps:,}; lower them"
    )


def growth_warnings(study: Study, kinds: Mapping[str, Kind], n_steps: int | None) -> Iterator[str]:
    """Of growth that was asked for and cannot happen, whatever is drawn. `n_steps`: the most that a trial has."""
    triggers = set(corners(study.growth["trigger"]))
    if triggers == {"never"}:
        yield from _idle(study)
        return
    yield from _no_room(study, kinds)
    yield from _out_of_reach(study)
    if n_steps is not None:
        yield from _no_time(study, n_steps)


def _idle(study: Study) -> Iterator[str]:
    """What a file says of growth that never happens."""
    said = []
    for name, domain in sorted(study.growth.items()):
        if not isinstance(domain, Fixed):
            said.append(f"searching {name}")
        elif domain != defaults_of(GrowthSpec)[name]:
            said.append(f"growth.{name} {domain.value}")
    if said:
        ways = "write growth.trigger: stagnation, or leave it out"
        yield f"growth.trigger is never, so {', '.join(said)} changes nothing; {ways}"


def _no_room(study: Study, kinds: Mapping[str, Kind]) -> Iterator[str]:
    """Every layout that a trial can begin with is as deep as it may become."""
    max_depth = int(max(_numbers(study.growth["max_depth"])))
    depths = [_depth_grown(text, study, kinds) for text in study.layouts.start_with[: study.n_trials]]
    if study.n_trials > n_first(study):
        depths.append(study.layouts.depth[0] + _smallest_unit(study, 1))
    if depths and max_depth < min(depths):
        yield (
            f"growth.max_depth {max_depth} leaves no room to grow: a layout of this study has {min(depths)} blocks "
            "or more once it has grown; raise it, or begin with fewer"
        )


def _depth_grown(text: str, study: Study, kinds: Mapping[str, Kind]) -> int:
    layout = parse(text)
    return layout.depth + _smallest_unit(study, len(units(layout.blocks, kinds)[-1]))


def _smallest_unit(study: Study, last: int) -> int:
    """Blocks of a grown unit, of which 'last' has so many."""
    return min(last if unit == "last" else len(parse_blocks(str(unit))) for unit in corners(study.growth["unit"]))


def _out_of_reach(study: Study) -> Iterator[str]:
    """Thresholds above what the path of a random walk has over the window."""
    window = int(max(_numbers(study.growth["history_window_size"])))
    for name, symbol, n in (("tau_crit", "τ", window - 1), ("kappa_crit", "κ", window - 2)):
        least, reached = min(_numbers(study.growth[name])), math.sqrt(n)
        if least > reached:
            yield (
                f"growth.{name} {least:g} is more than the {symbol} of a random walk over growth.history_window_size "
                f"{window}, √{n} = {reached:.2f}: hardly any training reaches it; lower it, or widen the window"
            )


def _no_time(study: Study, n_steps: int) -> Iterator[str]:
    names = ("warmup_steps", "collect_interval_steps", "patience", "history_window_size", "freeze_steps")
    least = {name: int(min(_numbers(study.growth[name]))) for name in names}
    # a rarer evaluation may come at a luckier step
    reasons = {int(each): too_late(least, int(each), n_steps) for each in _numbers(study.train["eval_every"])}
    if all(reasons.values()):
        yield f"nothing can grow: {reasons[min(reasons)]}, or raise the budget"
        return
    first = min(_first(least, each) for each, reason in reasons.items() if not reason)
    if n_steps - first < least["freeze_steps"]:
        yield (
            f"growth.freeze_steps {least['freeze_steps']} after the first growth, at step {first:,} at the earliest, "
            f"reach beyond the budget's {n_steps:,}: what was there before would never train again; lower it"
        )
    if (filled := least["history_window_size"] * least["collect_interval_steps"]) > n_steps:
        yield (
            f"growth.history_window_size {least['history_window_size']} × growth.collect_interval_steps "
            f"{least['collect_interval_steps']} are {filled:,} steps, more than the budget's {n_steps:,}: "
            "the window is never full; lower one of them"
        )


def _first(growth: Mapping[str, int], eval_every: int) -> int:
    names = ("warmup_steps", "collect_interval_steps", "patience")
    return first_growth(eval_every=eval_every, **{name: growth[name] for name in names})


def _numbers(domain: Domain) -> list[float]:
    return [float(value) for value in corners(domain)]


# ---- a curriculum ----------------------------------------------------------------------------------------------


def curriculum_warnings(study: Study, n_steps: int | None) -> Iterator[str]:
    """Of stages that no step belongs to, or that change nothing. `n_steps`: the most that a trial has."""
    begins = 0.0
    for at, stage in enumerate(study.curriculum):
        if n_steps is not None and not _has_a_step(begins, stage.until, n_steps):
            yield (
                f"curriculum[{at}].until {stage.until:g}: none of the budget's {n_steps:,} steps lies between "
                f"{begins:g} and {stage.until:g} of it; widen the stage, or leave it out"
            )
        before = study.curriculum[at - 1] if at else None
        if before and (before.path, before.plasticity) == (stage.path, stage.plasticity):
            yield f"curriculum[{at}] reads and sets what curriculum[{at - 1}] does; make one stage of them"
        begins = stage.until
    if len(study.curriculum) == 1 and not (study.curriculum[0].path or study.curriculum[0].plasticity):
        yield "curriculum has one stage, which reads data's own text and sets nothing; leave it out"


def _has_a_step(begins: float, until: float, n_steps: int) -> bool:
    """Compared as training.schedule.stage_at does: the first step of the stage is one of these."""
    first = int(begins * n_steps)
    return any(begins <= step / n_steps < until for step in (first - 1, first, first + 1))


def most_steps(study: Study) -> int | None:
    """Of any trial; None where the budget is in FLOPs, which depend on the layout."""
    amount = study.budget.amount
    if study.budget.unit == "steps":
        return amount
    if study.budget.unit == "tokens":
        least = min(_numbers(study.train["batch_size"])) * min(_numbers(study.train["seq_len"]))
        return math.ceil(amount / least)
    return None
