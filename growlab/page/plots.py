"""Sections that are figures."""

from typing import TYPE_CHECKING, Any

from growlab.errors import GrowlabError
from growlab.page.figure import Charts
from growlab.page.markup import Html, element

if TYPE_CHECKING:
    from growlab.notebook import LoadedStudy

_MOST_POINTS = 30_000  # of all curves together
_APART = 1.1
_MOST_STACKS = 4  # trials that are shown as they grew


def curves(study: "LoadedStudy", charts: Charts) -> Html:
    return _shown(charts, {"curves": study.figures.curves(_MOST_POINTS)})


def objectives(study: "LoadedStudy", charts: Charts) -> Html:
    """The first objective against each other one; of a study that has one alone, against size and compute."""
    others = study.figures.others() or _sizes(study)
    return _side_by_side(
        _shown(charts, {f"objective-{at}": study.figures.pareto(key) for at, key in enumerate(others)})
    )


def _sizes(study: "LoadedStudy") -> list[str]:
    """What a loss is shown against where it is the one objective: compute only where trials differ in it."""
    flops = study.trials().flops
    return ["n_params", "flops"] if flops.max() > _APART * flops.min() else ["n_params"]


def searched(study: "LoadedStudy", charts: Charts) -> Html:
    return _shown(charts, {"parallel": study.figures.parallel()})


def importance(study: "LoadedStudy", charts: Charts) -> Html:
    """What the model has learnt, and how well it predicts; or why nothing is known."""
    try:
        explanation = study.why().explanation
    except GrowlabError as error:  # its text is elsewhere, or a plugin is missing
        return element("p", f"What the study has learnt cannot be told here: {error}", class_="note")
    correlation = explanation.rank_correlation
    if correlation is None:
        n = explanation.n_finished
        return element("p", f"{n} trials reached a {explanation.objective}: nothing can be learnt before four did.")
    figures = _shown(charts, {"effects": study.figures.effects(), "relevances": study.figures.relevances()})
    if not figures:  # nothing was searched, as in an ablation
        return Html("")
    trust = "" if explanation.predicts else " It predicts too badly to be believed yet: take none of this for granted."
    words = (
        f"A model of the {explanation.n_finished} trials that reached a {explanation.objective}. Predicting each one "
        f"from the others, it ranks them with a correlation of {correlation:.2f} (1 perfect, 0 chance).{trust}"
    )
    return Html(element("p", words, class_="note" if trust else None) + _side_by_side(figures))


def layouts(study: "LoadedStudy", charts: Charts) -> Html:
    """The best layouts, and the best trials that grew as they did."""
    found = _shown(charts, {"layouts": study.figures.layouts()})
    grown = study.growth_events().trial.unique()
    trials = study.trials()
    best = trials[trials.trial.isin(grown)].sort_values(["rank", "val_loss"]).trial.head(_MOST_STACKS)
    stacks = _shown(charts, {f"stack-{number}": study.figures.growth_stack(int(number)) for number in best})
    return Html(found + _side_by_side(stacks))


def paths(study: "LoadedStudy", charts: Charts) -> Html:
    return _shown(charts, {"paths": study.figures.path_heatmap()})


def timelines(study: "LoadedStudy", charts: Charts) -> Html:
    figures = study.figures
    pair = _shown(charts, {"growth": figures.growth_timeline(), "rungs": figures.rung_timeline()})
    return Html(_side_by_side(pair) + _shown(charts, {"workers": figures.worker_timeline()}))


def _shown(charts: Charts, named: dict[str, Any]) -> Html:
    return Html("".join(charts.figure(name, chart) for name, chart in named.items() if chart is not None))


def _side_by_side(figures: Html) -> Html:
    return element("div", figures, class_="pair") if figures else Html("")
