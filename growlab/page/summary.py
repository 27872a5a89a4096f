"""The study in numbers and words."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from growlab import amounts
from growlab.errors import GrowlabError
from growlab.page.figure import Charts
from growlab.page.leaderboard import known
from growlab.page.markup import Html, element
from growlab.records import TrialState

if TYPE_CHECKING:
    import pandas as pd

    from growlab.notebook import LoadedStudy

_CLEAR = 2.0  # standard deviations beyond which an effect is told


def section(study: "LoadedStudy", charts: Charts) -> Html:
    trials = study.trials()
    best = _best(trials)
    cards = element("div", *(_card(*card) for card in _cards(study, trials, best)), class_="cards")
    words = element("ul", *(element("li", sentence) for sentence in _sentences(study, trials, best)), class_="words")
    return Html(cards + words)


def _card(title: str, value: str, note: str) -> Html:
    return element(
        "div",
        element("p", title, class_="card-title"),
        element("p", value, class_="card-value"),
        element("p", note, class_="card-note"),
        class_="card",
    )


def _best(trials: "pd.DataFrame") -> Any:
    """The row of the best trial; None while none has completed."""
    ranked = trials[trials["rank"] == 1]
    return None if ranked.empty else ranked.iloc[0]


def _cards(study: "LoadedStudy", trials: "pd.DataFrame", best: Any) -> Iterator[tuple[str, str, str]]:
    objective = study.study.objective.metric
    if best is None:
        yield f"best {objective}", "–", "no trial completed yet"
    else:
        yield f"best {objective}", amounts.loss(best[objective]), f"trial {best.trial}"
        yield (
            "its size",
            amounts.count(best.n_params),
            f"parameters, {amounts.depth(best.depth_start, best.depth_end)} blocks",
        )
    ended = sum(TrialState(state).is_final for state in trials.state)
    states = trials.state.value_counts()
    yield "trials ended", f"{ended} of {study.study.n_trials}", ", ".join(f"{n} {state}" for state, n in states.items())
    hours = study.spent.gpu_hours
    yield "compute", amounts.flops(study.spent.flops), f"{amounts.duration(hours * 3600)} of workers' time"
    if grown := study.growth_events().drop_duplicates(["trial", "step"]).trial.nunique():
        yield "grew", f"{grown} of {len(trials)}", "trials"
    if study.front is not None:
        yield "on the front", str(len(study.front.trials)), " and ".join(o.key for o in study.front.objectives)


def _sentences(study: "LoadedStudy", trials: "pd.DataFrame", best: Any) -> Iterator[Html | str]:
    if best is None:
        yield "No trial has completed yet: what follows is what is known so far."
    else:
        yield from _of_best(study, trials, best)
    yield from _of_front(study)
    yield from _of_growth(study, trials, best)
    yield from _of_rungs(study, trials)
    yield from _of_model(study)


def _of_best(study: "LoadedStudy", trials: "pd.DataFrame", best: Any) -> Iterator[Html | str]:
    objective = study.study.objective.metric
    completed = trials[trials.state == "completed"]
    median = float(completed[objective].median())
    bits = f" ({best.bits_per_byte:.3f} bits per byte)" if known(best.bits_per_byte) else ""
    yield Html(
        f"{element('strong', f'Trial {best.trial}')} is the best of {len(completed)} that completed: "
        f"{objective} {amounts.loss(best[objective])}{bits}, {abs(median - best[objective]):.3f} below their median. "
        f"Its layout: {element('code', best.layout)}"
    )
    if known(best.overfits_since):
        yield (
            f"It overfits since step {best.overfits_since}: val_loss was {amounts.loss(best.best_val_loss)} then. "
            "A smaller budget, more text or more dropout would do it good."
        )


def _of_front(study: "LoadedStudy") -> Iterator[str]:
    if study.front is not None:
        yield from (f"{line[0].upper()}{line[1:]}." for line in study.front.lines)


def _of_growth(study: "LoadedStudy", trials: "pd.DataFrame", best: Any) -> Iterator[str]:
    events = study.growth_events().drop_duplicates(["trial", "step"], keep="last")
    if events.empty:
        return
    change = (events.val_loss_after - events.val_loss_before).median()
    grown = events.trial.nunique()
    of_best = int((events.trial == best.trial).sum()) if best is not None else 0
    times = f"; the best one grew {of_best} time{'s' if of_best != 1 else ''}" if best is not None else ""
    yield (
        f"{grown} of {len(trials)} trials grew, {len(events)} times together{times}. At once a growth changed "
        f"val_loss by {change:+.4f} in the median."
    )


def _of_rungs(study: "LoadedStudy", trials: "pd.DataFrame") -> Iterator[str]:
    waiting = int((trials.state == "paused").sum())
    promoted = int((study.decisions().decision == "promotion").sum())
    if study.study.rungs is not None:
        yield f"Rungs: {promoted} promotions; {waiting} trials wait at a rung."


def _of_model(study: "LoadedStudy") -> Iterator[str]:
    """The surest effects, where the model predicts."""
    try:
        explanation = study.why().explanation
    except GrowlabError:
        return
    if not explanation.predicts:
        return
    clear = [effect for effect in explanation.effects if abs(effect.mean) >= _CLEAR * effect.sd]
    for words, chosen in (
        ("helps", [effect for effect in clear if effect.mean < 0]),
        ("harms", [effect for effect in clear if effect.mean > 0]),
    ):
        if chosen:
            named = "; ".join(f"{effect.change} ({effect.mean:+.3f} ± {1.96 * effect.sd:.3f})" for effect in chosen[:3])
            yield f"By the study's model, what {words} most surely: {named}."
