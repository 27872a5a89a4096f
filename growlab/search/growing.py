"""Can a trial grow at all? When it can at the earliest, and what keeps it from growing, in words."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from growlab.domains import Domain, Fixed, Value, corners, highest, lowest, numbers
from growlab.kinds import Kind, units
from growlab.layout import n_held, parse, parse_blocks
from growlab.recipes import NEVER, OPERATORS, PARTS, TRIGGERS, Pace, Sort, TriggerOptions
from growlab.search.sampling import sampler_options
from growlab.study import Study
from growlab.study.growth_section import growth_defaults

_SYMBOLS = {"tau": "τ", "kappa": "κ"}


def grows(study: Study) -> bool:
    """Whether any trial of it may grow."""
    return set(corners(study.growth["trigger"])) != {NEVER}


def options_at(sort: Sort, name: str, study: Study, end: Callable[[Domain], Value]) -> Any:
    """The options of a part, each number at one `end` of what the study may draw, the rest at their first choice."""
    before = f"{sort}.{name}."
    values = {
        key.removeprefix(before): _at(domain, end) for key, domain in study.growth.items() if key.startswith(before)
    }
    return PARTS[sort][name].read(values)


def _at(domain: Domain, end: Callable[[Domain], Value]) -> Value:
    first = corners(domain)[0]
    return type(first)(end(domain)) if type(first) in (int, float) else first


def growth_warnings(study: Study, kinds: Mapping[str, Kind], n_steps: int | None) -> Iterator[str]:
    """Of growth that was asked for and cannot happen, whatever is drawn. `n_steps`: the most that a trial has."""
    if not grows(study):
        yield from _idle(study)
        return
    yield from _no_room(study, kinds)
    yield from _out_of_reach(study)
    yield from _in_vain(study)
    if n_steps is not None:
        yield from _no_time(study, n_steps)
        yield from _tried_frozen(study, n_steps)


def _idle(study: Study) -> Iterator[str]:
    """What a file says of growth that never happens."""
    said, silent = [], growth_defaults()
    for name, domain in sorted(study.growth.items()):
        if not isinstance(domain, Fixed):
            said.append(f"searching {name}")
        elif domain != silent.get(name):
            said.append(f"growth.{name} {domain.value}")
    if said:
        triggers = ", ".join(name for name in TRIGGERS if name != NEVER)
        yield (
            f"growth.trigger is {NEVER}, so {', '.join(said)} changes nothing; "
            f"name a trigger in growth.trigger ({triggers}), or leave it out"
        )


def _no_room(study: Study, kinds: Mapping[str, Kind]) -> Iterator[str]:
    """Every layout that a trial can begin with is as deep as it may become."""
    if not (max_depth := _deepest(study)):
        return
    stacks = [_unit_sizes(text, kinds) for text in study.layouts.start_with[: study.n_proposals]]
    if study.n_proposals > sampler_options(study).n_first(study):
        stacks.append([study.layouts.depth[0]])
    depths = [sum(stack) + _least_growth(study, stack) for stack in stacks]
    if depths and max_depth < min(depths):
        yield (
            f"growth.max_depth {max_depth} leaves no room to grow: a layout of this study has {min(depths)} blocks "
            "or more once it has grown; raise it, or begin with fewer"
        )


def _deepest(study: Study) -> int:
    """The most blocks that a trial may have; 0 where a plan's growths alone decide."""
    allowed = [int(number) for number in numbers(study.growth["max_depth"])]
    return 0 if 0 in allowed else max(allowed)


def _unit_sizes(text: str, kinds: Mapping[str, Kind]) -> list[int]:
    return [n_held(unit) for unit in units(parse(text).blocks, kinds)]


def _least_growth(study: Study, stack: Sequence[int]) -> int:
    """Blocks that a growth adds at least to units of these sizes; those of a drawn layout are told as one."""
    if any(OPERATORS[str(name)].options.encloses for name in corners(study.growth["operator"])):
        return 0
    factor, n_units = (int(lowest(study.growth[key])) for key in ("factor", "units"))
    n_new = (factor - 1) * len(stack) if factor > 1 else n_units
    return n_new * min(
        min(stack) if unit == "last" else len(parse_blocks(str(unit))) for unit in corners(study.growth["unit"])
    )


def _triggers(study: Study) -> dict[str, TriggerOptions]:
    """Those that may let a trial grow, by name, with the lowest numbers that may be drawn."""
    names = [str(name) for name in corners(study.growth["trigger"]) if name != NEVER]
    return {name: options_at("trigger", name, study, lowest) for name in names}


def _out_of_reach(study: Study) -> Iterator[str]:
    """Windows too short for a trigger, and thresholds above what the path of a random walk has over the window."""
    window = int(highest(study.growth["history_window_size"]))
    for name, options in _triggers(study).items():
        if options.least_window() > window:
            yield (
                f"growth.trigger.{name} needs {options.least_window()} snapshots to judge by, and "
                f"growth.history_window_size {window} keeps fewer: it never lets a model grow; widen the window"
            )
        for statistic, least in options.critical().items():
            n = {"tau": window - 1, "kappa": window - 2}[statistic]
            if least > math.sqrt(n):
                yield (
                    f"growth.trigger.{name}: its critical {_SYMBOLS[statistic]} {least:g} is more than that of a "
                    f"random walk over growth.history_window_size {window}, √{n} = {math.sqrt(n):.2f}: hardly any "
                    "training reaches it; lower it, or widen the window"
                )


def _in_vain(study: Study) -> Iterator[str]:
    for name, options in _triggers(study).items():
        if reason := options.in_vain():
            yield f"growth.trigger.{name} {reason}"


def _tried_frozen(study: Study, n_steps: int) -> Iterator[str]:
    """Of growths that are judged before the rest of the model has trained with them."""
    freeze_steps = int(lowest(study.growth["freeze_steps"]))
    for name in _triggers(study):
        trying = options_at("trigger", name, study, highest).trying()
        if trying and 0 < (n_branch := max(1, round(trying.share * n_steps))) <= freeze_steps:
            yield (
                f"growth.trigger.{name} tries a growth for {n_branch:,} steps, and for growth.freeze_steps "
                f"{freeze_steps} only what grew trains: it is judged before the rest has trained with it; lower "
                "freeze_steps"
            )


def _no_time(study: Study, n_steps: int) -> Iterator[str]:
    names = ("collect_interval_steps", "history_window_size", "freeze_steps")
    least = {name: int(lowest(study.growth[name])) for name in names}
    # a rarer evaluation may come at a luckier step
    ways = [
        (options, Pace(eval_every=int(every), collect_interval_steps=least["collect_interval_steps"], n_steps=n_steps))
        for options in _triggers(study).values()
        for every in sorted(numbers(study.train["eval_every"]))
    ]
    reasons = [options.too_late(pace) for options, pace in ways]
    if all(reasons):
        yield f"nothing can grow: {reasons[0]}, or raise the budget"
        return
    first = min(options.first_growth(pace) for (options, pace), reason in zip(ways, reasons, strict=True) if not reason)
    if n_steps - first < least["freeze_steps"]:
        yield (
            f"growth.freeze_steps {least['freeze_steps']} after the first growth, at step {first:,} at the earliest, "
            f"reach beyond the budget's {n_steps:,}: what was there before would never train again; lower it"
        )
    filled = least["history_window_size"] * least["collect_interval_steps"]
    if filled > n_steps and _watches(study):
        yield (
            f"growth.history_window_size {least['history_window_size']} × growth.collect_interval_steps "
            f"{least['collect_interval_steps']} are {filled:,} steps, more than the budget's {n_steps:,}: "
            "the window is never full; lower one of them"
        )


def _watches(study: Study) -> bool:
    """Whether a trigger or an operator makes anything of the window of snapshots."""
    operators = [OPERATORS[str(name)].options for name in corners(study.growth["operator"])]
    return any(operator.needs_path for operator in operators) or any(
        options.least_window() for options in _triggers(study).values()
    )


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
        least = lowest(study.train["batch_size"]) * lowest(study.train["seq_len"])
        return math.ceil(amount / least)
    return None
