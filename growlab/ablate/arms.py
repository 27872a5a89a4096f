"""An arm's training as a trial to run: everything fixed, and equal to the other arms' but for what the file says."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from growlab.ablate.file import Ablation, Arm
from growlab.domains import Fixed
from growlab.errors import SpecError, UsageError
from growlab.kinds import KINDS, complete
from growlab.layout import Layout, OptionValue, format_layout, parse, skeleton
from growlab.plan import final_layout, stack_of
from growlab.recipes import TRIGGERS
from growlab.search import propose
from growlab.specs import TrialSpec
from growlab.study import Study
from growlab.study.file import with_absolute_paths
from growlab.study.overrides import apply_overrides
from growlab.study.reading import study_from_mapping

UNGROWN = "ungrown"


def container(ablation: Ablation) -> Study:
    """The study that holds the trainings: its data is theirs; its layout is that of the first arm."""
    first = next(iter(ablation.arms.values()))
    study = study_of(ablation, first, {})
    return replace(study, sampler=replace(study.sampler, name="given", options={}))


def all_arms(ablation: Ablation) -> dict[str, Arm]:
    """The file's arms, with layouts, and the un-grown depths of the envelope. Raises SpecError, UsageError."""
    arms = {name: replace(arm, layout=layout_of(ablation, arm)) for name, arm in ablation.arms.items()}
    ungrown = {arm.name: arm for arm in ungrown_arms(ablation)}
    for name in arms.keys() & ungrown.keys():
        raise UsageError(f"{ablation.file}: arm {name!r} has the name of a depth of the envelope; give it another")
    return arms | ungrown


def ungrown_arms(ablation: Ablation) -> list[Arm]:
    """Un-grown models of the depths that the envelope names.

    It names none: of the depth that its arm ends with, of a quarter of its units less, and more.
    """
    envelope = ablation.envelope
    if envelope is None:
        return []
    grown = ablation.arms[envelope.of]
    end = _end(ablation, grown)
    units = stack_of(end, KINDS)
    step = max(1, len(units) // 4)
    usual = {n: envelope.budgets for n in (len(units) - step, len(units), len(units) + step) if n >= 1}
    return [
        _ungrown(end, [units[at % len(units)] for at in range(n)], {**grown.train, **envelope.train}, budgets)
        for n, budgets in (envelope.units or usual).items()
    ]


def _ungrown(end: Layout, units: Any, train: Mapping[str, Any], budgets: tuple[float, ...]) -> Arm:
    layout = replace(end, blocks=tuple(block for unit in units for block in unit))
    return Arm(
        name=f"{UNGROWN} {layout.depth}",
        layout=format_layout(layout),
        final_depth_of="",
        train=train,
        growth=False,
        budgets=budgets,
    )


def layout_of(ablation: Ablation, arm: Arm) -> str:
    """The layout that an arm begins with, also where it is the one that another ends with."""
    if not arm.final_depth_of:
        return arm.layout
    return format_layout(_end(ablation, ablation.arms[arm.final_depth_of]))


def _end(ablation: Ablation, arm: Arm) -> Layout:
    """The layout that an arm ends with."""
    begun = _begun(ablation, arm)
    with _named(ablation, arm):
        return final_layout(*begun)


def _begun(ablation: Ablation, arm: Arm) -> Any:
    """The growth, the first layout and the kinds of an arm, as the plan's functions ask for them.

    Raises UsageError for an arm that grows as often as training decides.
    """
    spec = spec_of(ablation, arm, {}, budget=1.0, seed=0)
    trigger = TRIGGERS[spec.growth.trigger.name]
    options = trigger.read(spec.growth.trigger.options)
    if spec.growth.grows and (options.n_growths() is None or options.trying()):
        raise UsageError(
            f"{ablation.file}: arm {arm.name!r} grows as often as trigger {spec.growth.trigger.name} decides, so "
            "nobody knows the depth that it ends with; name an arm with trigger at or never, in envelope.of and in "
            "final_depth_of"
        )
    return spec.growth, parse(spec.layout), KINDS


def spec_of(ablation: Ablation, arm: Arm, values: Mapping[str, OptionValue], *, budget: float, seed: int) -> TrialSpec:
    """The trial of an arm with these tuned values and this share of the budget. Raises SpecError, UsageError.

    Equal seeds mean equal data in an equal order and, where layouts are equal, equal weights to begin with.
    """
    study = study_of(ablation, arm, values, budget=budget)
    for name, domain in study.scalars().items():
        if not isinstance(domain, Fixed):
            raise UsageError(
                f"{ablation.file}: arm {arm.name!r} searches {name}, and an ablation compares what is fixed; "
                "give it one value, or list it under tune"
            )
    with _named(ablation, arm):
        spec = propose(study, [], 0, KINDS, lambda layout: 0).spec
    return replace(spec, seed=seed)


def study_of(ablation: Ablation, arm: Arm, values: Mapping[str, OptionValue], *, budget: float = 1.0) -> Study:
    """The study of one trial that an arm's training is, with these tuned values. Raises SpecError, UsageError."""
    text = arm.layout or layout_of(ablation, arm)
    with _named(ablation, arm):
        mapping = _mapping(ablation, arm, complete(parse(text), KINDS), values, flops=round(budget * ablation.flops))
        return with_absolute_paths(study_from_mapping(mapping), ablation.file.parent)


@contextmanager
def _named(ablation: Ablation, arm: Arm) -> Iterator[None]:
    """Let the message of what is wrong with an arm begin with the file and the arm's name."""
    try:
        yield
    except UsageError as error:
        raise SpecError(f"{ablation.file}: arm {arm.name!r}: {error}") from None


def _mapping(
    ablation: Ablation, arm: Arm, layout: Layout, values: Mapping[str, OptionValue], *, flops: int
) -> dict[str, Any]:
    """The study file that has an arm's training as its only trial."""
    mapping: dict[str, Any] = {
        "name": ablation.name,
        "seed": ablation.seed,
        "n_trials": 1,
        "data": dict(ablation.data),
        "train": {**ablation.train, **arm.train},
        "growth": dict(arm.growth) if isinstance(arm.growth, Mapping) else arm.growth,
        "budget": {"flops": flops},
        "layouts": {
            "blocks": {str(skeleton(block)): {} for block in layout.blocks},
            "d_model": layout.d_model,
            "depth": layout.depth,
            "start_with": [format_layout(layout)],
        },
        "sampler": "random",
    }
    if not isinstance(mapping["growth"], dict) and any(name.startswith("growth.") for name in values):
        mapping["growth"] = {"preset": mapping["growth"]} if isinstance(mapping["growth"], str) else {}
    apply_overrides(mapping, [f"{name}={_yaml(value)}" for name, value in values.items()])
    return mapping


def _yaml(value: OptionValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
