"""One trial in full: what it was, how it went, what came out. For a terminal or a pipe."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TextIO

import growlab.growth.triggers  # noqa: F401  (fills TRIGGERS)
from growlab import amounts
from growlab.finite import finite
from growlab.inheritance import inherited_in_words
from growlab.layout import parse
from growlab.recipes import NEVER, TRIGGERS, Pace, TriggerOptions
from growlab.records import LOSSES, READ_AT, TEST, Prediction, TrialState
from growlab.report.live import state_text
from growlab.report.plain_tables import pairs
from growlab.report.terminal import Trimmed, as_it_is, console_for
from growlab.report.trial_courses import courses
from growlab.report.trial_events import events
from growlab.report.trial_facts import TrialFacts, read_facts
from growlab.storage import Store, StudyRow
from growlab.study.growth_section import growth_of_row

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_RULE_WIDTH = 78
_SPARKLINE_WIDTH = 40


def trial_page(store: Store, study_row: StudyRow, number: int, stream: TextIO) -> None:
    """Write everything that a person may want to know of a trial. Raises NotFound."""
    facts = read_facts(store, study_row, number)
    console = console_for(stream)
    console.print(as_it_is(f"trial {number} of {facts.study}: {state_text(facts.trial)}", "bold"))
    console.print(Trimmed(pairs(_about(facts))))
    for heading, part in _parts(facts):
        console.print()
        console.print(as_it_is(heading, "bold"))
        console.print(Trimmed(part))
    if facts.trial.sample:
        _print_sample(facts.trial.sample, console)


def _parts(facts: TrialFacts) -> Iterator[tuple[str, "RenderableType"]]:
    """Headings and contents, in reading order; a part of which nothing is known yet is left out."""
    if facts.trial.steps is not None:
        yield "result", pairs(_result(facts))
    elif facts.trial.was_told:
        yield "result, as it was told: nothing was trained here", pairs(_told(facts))
    elif facts.metrics or not facts.trial.state.is_final:
        yield "result", pairs(_so_far(facts))
    yield from courses(facts, _trigger_of(growth_of_row(facts.trial.spec_mapping["growth"])))
    yield from events(facts)


# ---- what it was ---------------------------------------------------------------------------------------------


def _about(facts: TrialFacts) -> dict[str, str]:
    trial, budget = facts.trial, facts.trial.spec_mapping["budget"]
    changed = trial.layout_end is not None and trial.layout_end != trial.layout
    how = "ended as" if trial.depth_end == trial.depth_start else "grown to"  # a curriculum changes plasticities
    return {
        "layout": trial.layout,
        **({how: str(trial.layout_end)} if changed else {}),
        "origin": facts.origin,
        **({"known then": known} if (known := _known_then(facts)) else {}),
        **({"searched": _params(trial.params)} if trial.params else {}),
        "budget": f"{budget['amount']:,} {budget['unit']}",
        **({"curriculum": stages} if (stages := _curriculum(facts)) else {}),
        **({"began with": began} if (began := _began_with(trial.spec_mapping)) else {}),
        "growth": _growth_rule(trial.spec_mapping, grew=bool(facts.growth_events)),
        "seed": str(trial.spec_mapping["seed"]),
        **({"stopped by" if facts.stop else "error": trial.error} if trial.error else {}),
    }


def _known_then(facts: TrialFacts) -> str:
    """What the decision for it was made from: 'the results of 12 trials, 2 more were being trained'."""
    finished, running = len(facts.decision.finished), len(facts.decision.running)
    results = f"the results of {finished} trial{'s' * (finished > 1)}" if finished else ""
    more = f"{running} {'more ' * bool(finished)}{'were' if running > 1 else 'was'} being trained" if running else ""
    return ", ".join(filter(None, (results, more)))


def _began_with(spec: Mapping[str, Any]) -> str:
    """The model whose weights the trial took over, and what was new: 'best (sha256 ab12…); nothing is new'."""
    train = spec["train"]
    if not train.get("init_from"):
        return ""
    new = inherited_in_words(parse(spec["layout"]), parse(train["init_layout"]))
    return f"{train['init_from']} (sha256 {train['init_sha256'][:12]}…); {new}"


def _params(params: Mapping[str, Any]) -> str:
    """The scalars as the sampler drew them: 'train.dropout 0.1, train.lr 0.003122'."""
    return ", ".join(f"{name} {_value(value)}" for name, value in sorted(params.items()))


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _curriculum(facts: TrialFacts) -> str:
    """The texts of the stages, and from which step on: 'words.txt, α 0.1; from step 15 its own data, α 0.99'."""
    begun = {int(stage): step for step, stage in facts.by_step("train", "stage").items()}
    stages = facts.trial.spec_mapping.get("curriculum", [])
    return "; ".join(_stage(stage, at, begun.get(at), stages) for at, stage in enumerate(stages))


def _stage(stage: Mapping[str, Any], at: int, step: int | None, stages: Sequence[Mapping[str, Any]]) -> str:
    when = (
        ""
        if at == 0
        else f"from {stages[at - 1]['until']:.4g} of the budget "
        if step is None
        else f"from step {step} "
    )
    read = PurePath(stage["path"]).name if stage["path"] else "its own data"
    return when + read + (f", α {_value(stage['plasticity'])}" if stage["plasticity"] else "")


def _growth_rule(spec: Mapping[str, Any], *, grew: bool) -> str:
    growth = growth_of_row(spec["growth"])
    trigger, operator = growth["trigger"]["name"], growth["operator"]["name"]
    if trigger == NEVER:
        return NEVER
    if not grew and (reason := _cannot_grow(spec)):
        return f"never: {reason}"
    when = f"{trigger} {_value(*options.values())}" if len(options := growth["trigger"]["options"]) == 1 else trigger
    factor, units = growth.get("factor", 1), growth.get("units", 1)
    much = f", {factor} times as many units" if factor > 1 else f", {units} units" if units > 1 else ""
    return f"on {when}, by {operator}{much}, up to {growth['max_depth']} blocks"


def _trigger_of(growth: Mapping[str, Any]) -> TriggerOptions | None:
    """The options of a trial's trigger; None of one that a plugin brought."""
    trigger = growth["trigger"]
    options: TriggerOptions | None = (
        TRIGGERS[trigger["name"]].read(trigger["options"]) if trigger["name"] in TRIGGERS else None
    )
    return options


def _cannot_grow(spec: Mapping[str, Any]) -> str:
    """The reason why a trial could not grow within its budget; '' where it could, or where nobody knows beforehand."""
    train, budget = spec["train"], spec["budget"]
    per_step = {"steps": 1, "tokens": train["batch_size"] * train["seq_len"]}.get(budget["unit"])
    if per_step is None:
        return ""
    growth = growth_of_row(spec["growth"])
    pace = Pace(
        eval_every=train["eval_every"],
        collect_interval_steps=growth["collect_interval_steps"],
        n_steps=-(-budget["amount"] // per_step),
    )
    trigger = _trigger_of(growth)
    return trigger.too_late(pace).partition(";")[0] if trigger else ""


# ---- how it went ---------------------------------------------------------------------------------------------


def _result(facts: TrialFacts) -> dict[str, str]:
    trial = facts.trial
    return {
        "val_loss": f"{amounts.loss(trial.val_loss)} nats per token (best {amounts.loss(trial.best_val_loss)})"
        + _overfitting(facts),
        **_predicted(facts),
        **_accuracy(facts),
        "bits per byte": amounts.loss(trial.bits_per_byte),
        **_tested(facts),
        "parameters": amounts.count(trial.n_params),
        "depth": f"{amounts.depth(trial.depth_start, trial.depth_end)} blocks",
        "trained": f"{amounts.whole(trial.steps)} steps, {amounts.count(trial.tokens)} tokens, "
        f"{amounts.flops(trial.flops)}, {amounts.duration(trial.elapsed_s)}",
        **({"engine": trial.engine} if trial.engine else {}),
    }


def _predicted(facts: TrialFacts) -> dict[str, str]:
    """What the model that chose the trial had expected of it; nothing of a trial that no model chose."""
    predicted = facts.decision.predicted
    if predicted is None:
        return {}
    runs = f", {amounts.share(predicted.runs)} to reach one" if predicted.runs < 1 else ""
    expected = f"{facts.objective} {amounts.loss(predicted.mean)} ± {amounts.loss(predicted.sd)}{runs}"
    return {"predicted": expected + _came_to(facts, predicted)}


def _came_to(facts: TrialFacts, predicted: Prediction) -> str:
    """How the result lies to what was expected of it: '; came to 2.0343, 0.6 sd below'."""
    value = finite(getattr(facts.trial, facts.objective)) if facts.trial.state is TrialState.COMPLETED else None
    if value is None:
        return ""
    away = (value - predicted.mean) / predicted.sd if predicted.sd > 0 else 0.0
    return f"; came to {amounts.loss(value)}, {abs(away):.1f} sd {'above' if away > 0 else 'below'}"


def _told(facts: TrialFacts) -> dict[str, str]:
    """The losses that a person told; no other number is known."""
    losses = {name: getattr(facts.trial, name) for name in LOSSES}
    return {name: amounts.loss(value) for name, value in losses.items() if value is not None} or {"none": "no loss"}


def _tested(facts: TrialFacts) -> dict[str, str]:
    """What the test split said, once `growlab test` has read it."""
    recorded = {metric.name: metric.value for metric in facts.metrics if metric.split == TEST}
    if not recorded:
        return {}
    per_byte = f", {amounts.loss(recorded['bits_per_byte'])} bits per byte" if "bits_per_byte" in recorded else ""
    when = amounts.moment(recorded[READ_AT])
    return {"test split": f"{amounts.loss(recorded['loss'])} nats per token{per_byte}, read {when} UTC"}


def _so_far(facts: TrialFacts) -> dict[str, str]:
    """The newest numbers with their steps: training is told between evaluations too."""
    evaluation = {"val_loss so far": text + _overfitting(facts)} if (text := _newest(facts, *_VAL_LOSS)) else {}
    training = {title: text for title, asked in _TRAINING.items() if (text := _newest(facts, *asked))}
    if not (evaluation or training):
        return {"none yet": "what a trial does is on record from its first checkpoint on", **_predicted(facts)}
    return {**evaluation, **_predicted(facts), **_accuracy(facts), **training}


# Split, name and text of a metric
_VAL_LOSS = ("val", "loss", lambda value: f"{amounts.loss(value)} nats per token")
_TRAINING: dict[str, tuple[str, str, Callable[[float], str]]] = {
    "train_loss": ("train", "loss", lambda value: f"{amounts.loss(value)} nats per token"),
    "lr": ("train", "lr", lambda value: f"{value:.4g}"),
    "gradient norm": ("train", "grad_norm", lambda value: f"{amounts.number(value, 3)} before clipping"),
    "speed": ("train", "tokens_per_s", lambda value: f"{amounts.count(value)} tokens/s"),
}


def _newest(facts: TrialFacts, split: str, name: str, text_of: Callable[[float], str]) -> str:
    """The newest value of a metric, '1.4000 nats per token at step 50'; empty where there is no such number."""
    values = facts.by_step(split, name)
    return f"{text_of(values[max(values)])} at step {max(values)}" if values else ""


def _overfitting(facts: TrialFacts) -> str:
    return "" if facts.overfits_since is None else f", overfits since step {facts.overfits_since}"


def _accuracy(facts: TrialFacts) -> dict[str, str]:
    """The share of right answers of a synthetic task, at its newest evaluation."""
    accuracy = facts.trial.newest_accuracy
    return {} if accuracy is None else {"accuracy": f"{amounts.share(accuracy)} of the answers are right"}


def _print_sample(sample: str, console: "Console") -> None:
    """Print a text as the model wrote it, between two rules; the terminal itself wraps a line that is too long."""
    console.print()
    console.print(_rule("sample"), style="dim")
    console.print(as_it_is(sample), soft_wrap=True)
    console.print(_rule(""), style="dim")


def _rule(title: str) -> str:
    return (f"── {title} " if title else "").ljust(_RULE_WIDTH, "─")
