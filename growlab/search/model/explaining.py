"""What a study has taught so far, as its model has it: what matters, which changes help, what it would try next.

An effect is the mean change of the objective over the best trials when one thing in them changes; its standard
deviation is that of the mean under the posterior, so that what all of these trials share cancels.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from growlab.domains import Choice, Domain, Fixed, Range, Value
from growlab.kinds import units
from growlab.layout import BlockSpec, Layout
from growlab.proposal import Proposal
from growlab.records import Prediction, Promotion
from growlab.search.configuration import Configuration
from growlab.search.menu import Menu
from growlab.search.model.kernel import group_distances, names_of
from growlab.search.model.outlook import LEAST, MIN_CORRELATION, Outlook, chosen, look_ahead
from growlab.search.model.suggesting import best_configurations, prediction, reader_of
from growlab.search.repair import repair, splice
from growlab.search.sampling import Ask
from growlab.search.scalars import acts
from growlab.search.scale import from_scale
from growlab.study import Study

LOW, HIGH = 0.1, 0.9  # places on a scalar's scale between which its effect is told
_PLACES = tuple(at / 10 for at in range(11))  # at which its best value is looked for
_MOST_RELEVANCES = 200  # trials whose distances are looked at
_THIRDS = ("lower third", "middle third", "upper third")


@dataclass(frozen=True, kw_only=True)
class Effect:
    """The change of the objective that the model expects of a change in the best trials; below 0 is better."""

    sort: str  # kind | place | size | scalar
    change: str  # as people read it: 'conv in place of another', 'train.lr 0.00016 → 0.0063'
    mean: float
    sd: float
    n_trials: int  # of the best ones, those in which it can be made
    best: str = ""  # of a scalar: the value from which most is expected


@dataclass(frozen=True, kw_only=True)
class Relevance:
    """A part of a configuration, and its share of what tells configurations apart."""

    name: str
    share: float


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What the past of a study says; no effects, relevances and predictions where it says nothing yet."""

    objective: str
    sampler: str
    n_finished: int  # that reached an objective
    n_best: int = 0  # trials that effects are told of
    rank_correlation: float | None = None  # of leave-one-out predictions with what was measured
    relevances: Sequence[Relevance] = ()
    effects: Sequence[Effect] = ()

    @property
    def predicts(self) -> bool:
        """Whether the sampler `model` would let it decide."""
        return self.rank_correlation is not None and self.rank_correlation > MIN_CORRELATION


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """An explanation, and what predicts more of the kind; None where nothing is known yet."""

    explanation: Explanation
    outlook: Outlook | None

    def predict(self, layout: Layout, params: Mapping[str, Value]) -> Prediction | None:
        """What is expected of a trial of this layout, every option written out, with these searched scalars."""
        return None if self.outlook is None else prediction(self.outlook, Configuration(layout, dict(params)))


@dataclass(frozen=True, kw_only=True)
class Why:
    """What matters in a study, and the trial that it would propose now."""

    study: str
    explanation: Explanation
    following: Proposal | None  # None of a study that proposes nothing
    expected: Prediction | None  # of that trial
    promotion: Promotion | None = None  # that it would make now, in place of a new trial


def explain(ask: Ask) -> Learnt:
    """Explain the past of a study. Nothing is known before LEAST trials reached different objectives."""
    reader = reader_of(ask)
    tried = reader.read(ask.past)
    values = [trial.value for trial in tried if np.isfinite(trial.value)]
    known = Explanation(objective=ask.study.objective.metric, sampler=ask.study.sampler.name, n_finished=len(values))
    if len(values) < LEAST or len(set(values)) < 2:
        return Learnt(explanation=known, outlook=None)
    outlook = look_ahead(reader.encoding, tried, reader.transfer)
    best = [inside(configuration, ask.menu) for configuration in best_configurations(outlook)]
    explanation = replace(
        known,
        n_best=len(best),
        rank_correlation=outlook.rank_correlation,
        relevances=relevances(outlook),
        effects=sorted(_effects(outlook, best, ask), key=lambda effect: -abs(effect.mean) / max(effect.sd, 1e-12)),
    )
    return Learnt(explanation=explanation, outlook=outlook)


def inside(configuration: Configuration, menu: Menu) -> Configuration:
    """The configuration with its layout brought into the study's space, where it came from outside."""
    return Configuration(repair(Random(0), configuration.layout, menu)[0], configuration.params)


def relevances(outlook: Outlook) -> list[Relevance]:
    """Shares of the mean distance between trials, the largest first; what never differs has none."""
    configurations = [trial.configuration for trial in chosen(outlook.good, _MOST_RELEVANCES)]
    codes = outlook.encoding.encode(configurations)
    apart = group_distances(outlook.encoding, codes, codes).mean(axis=(1, 2))
    weighted = outlook.hyperparameters.relevances * apart
    shares = weighted / max(float(weighted.sum()), 1e-12)
    found = [
        Relevance(name=name, share=float(share))
        for name, share in zip(names_of(outlook.encoding), shares, strict=True)
        if share > 0
    ]
    return sorted(found, key=lambda relevance: (-relevance.share, relevance.name))


# ---- effects -----------------------------------------------------------------------------------------------------

Changed = Callable[[Configuration], list[Configuration]]  # all ways to make one change; none where it cannot be made


def _effects(outlook: Outlook, best: Sequence[Configuration], ask: Ask) -> Iterator[Effect]:
    for sort, change, changed in [*_of_kinds(ask.menu), *_of_sizes(ask.menu)]:
        if found := _contrast(outlook, best, changed):
            mean, sd, n = found
            yield Effect(sort=sort, change=change, mean=mean, sd=sd, n_trials=n)
    for name, domain in ask.study.scalars().items():
        yield from _of_scalar(outlook, best, ask.study, name, domain)


def _contrast(outlook: Outlook, best: Sequence[Configuration], changed: Changed) -> tuple[float, float, int] | None:
    """Mean and deviation of the change, and in how many trials it can be made; None where in none of them."""
    before: dict[Configuration, float] = {}
    after: dict[Configuration, float] = {}
    ways = [(configuration, made) for configuration in best if (made := changed(configuration))]
    for configuration, made in ways:
        before[configuration] = before.get(configuration, 0.0) - 1 / len(ways)
        for child in made:
            after[child] = after.get(child, 0.0) + 1 / len(ways) / len(made)
    if not ways:
        return None
    weights = {each: before.get(each, 0.0) + after.get(each, 0.0) for each in {**before, **after}}
    mean, sd = outlook.combined(list(weights), list(weights.values()))
    return mean, sd, len(ways)


def _of_kinds(menu: Menu) -> Iterator[tuple[str, str, Changed]]:
    """One more block of each entry in the place of another of its role: anywhere, and in each third of the stack."""
    for name in menu.entries:
        alone = len(menu.of_role(menu.role(menu.entries[name]))) == 1
        way = "one more" if alone else "in place of another"
        yield "kind", f"{name} {way}", _more_of(menu, name, range(3))
        if not alone:
            for third, where in enumerate(_THIRDS):
                yield "place", f"{name} {way}, {where}", _more_of(menu, name, range(third, third + 1))


def _more_of(menu: Menu, name: str, thirds: range) -> Changed:
    role = menu.role(menu.entries[name])
    alone = len(menu.of_role(role)) == 1

    def changed(configuration: Configuration) -> list[Configuration]:
        layout, made = configuration.layout, []
        block = _like_those_there(menu, name, layout)
        for at, old in enumerate(layout.blocks):
            if block is None or 3 * at // layout.depth not in thirds:
                continue
            if alone and layout.depth < menu.space.depth[1]:
                made.append(splice(layout, at + 1, at + 1, [block]))
            elif not alone and menu.role(old) == role and menu.name(old) != name:
                made.append(splice(layout, at, at + 1, [block]))
        return [Configuration(each, configuration.params) for each in made if menu.contains(each)]

    return changed


def _like_those_there(menu: Menu, name: str, layout: Layout) -> BlockSpec | None:
    """A block of the entry: one that the layout has, else the first that fits its width."""
    there = [block for block in layout.blocks if menu.name(block) == name]
    return there[0] if there else next(menu.fitting(name, layout.d_model), None)


def _of_sizes(menu: Menu) -> Iterator[tuple[str, str, Changed]]:
    """One unit more, and other widths."""

    def deeper(configuration: Configuration) -> list[Configuration]:
        layout = configuration.layout
        last = tuple(units(layout.blocks, menu.kinds)[-1])
        made = replace(layout, blocks=(*layout.blocks, *last))
        return [Configuration(made, configuration.params)] if menu.contains(made) else []

    yield "size", "the last unit once more", deeper
    for d_model in menu.space.d_model if len(menu.space.d_model) > 1 else ():
        yield "size", f"d_model {d_model} in place of another", _of_width(menu, d_model)


def _of_width(menu: Menu, d_model: int) -> Changed:
    def changed(configuration: Configuration) -> list[Configuration]:
        layout = configuration.layout
        if layout.d_model == d_model:
            return []
        rng = Random(0)
        adapted = {block: menu.adapt(rng, block, d_model) for block in dict.fromkeys(layout.blocks)}
        made = replace(layout, d_model=d_model, blocks=tuple(adapted[block] for block in layout.blocks))
        return [Configuration(made, configuration.params)] if menu.contains(made) else []

    return changed


def _of_scalar(
    outlook: Outlook, best: Sequence[Configuration], study: Study, name: str, domain: Domain
) -> Iterator[Effect]:
    acting = [configuration for configuration in best if name in configuration.params]
    if isinstance(domain, Fixed) or not acting:
        return
    if isinstance(domain, Choice) and any(isinstance(value, str | bool) for value in domain.values):
        for value in domain.values:
            others = [each for each in acting if each.params[name] != value]
            if found := _contrast(outlook, others, _to(study, name, value)):
                mean, sd, n = found
                yield Effect(sort="scalar", change=f"{name} {value} in place of another", mean=mean, sd=sd, n_trials=n)
        return
    low, high = (from_scale(domain, place) for place in (LOW, HIGH)) if isinstance(domain, Range) else _ends(domain)
    if low == high:
        return
    weights = {_with(study, each, name, low): -1 / len(acting) for each in acting}
    weights |= {_with(study, each, name, high): 1 / len(acting) for each in acting}
    mean, sd = outlook.combined(list(weights), list(weights.values()))
    yield Effect(
        sort="scalar",
        change=f"{name} {_short(low)} → {_short(high)}",
        mean=mean,
        sd=sd,
        n_trials=len(acting),
        best=_short(_best_value(outlook, acting, study, name, domain)),
    )


def _to(study: Study, name: str, value: Value) -> Changed:
    return lambda configuration: [_with(study, configuration, name, value)]


def _ends(domain: Choice) -> tuple[Value, Value]:
    return domain.values[0], domain.values[-1]


def _best_value(outlook: Outlook, acting: Sequence[Configuration], study: Study, name: str, domain: Domain) -> Value:
    """The value of which most is expected on average over these trials."""
    values = list(dict.fromkeys(from_scale(domain, place) for place in _PLACES))

    def expected(value: Value) -> float:
        mean, _, _ = outlook.predict([_with(study, each, name, value) for each in acting])
        return float(mean.mean())

    return min(values, key=expected)


def _with(study: Study, configuration: Configuration, name: str, value: Value) -> Configuration:
    """The configuration with another value of a scalar, and without those that no longer act."""
    params = {**configuration.params, name: value}
    fixed = {name: domain.value for name, domain in study.scalars().items() if isinstance(domain, Fixed)}
    return Configuration(
        configuration.layout, {each: params[each] for each in params if acts(each, fixed | params) is not False}
    )


def _short(value: Value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
