"""What a study has learnt: which changes help, which parts matter, what it would try next and how sure it is."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, TextIO

from growlab import amounts
from growlab.report.columns import short
from growlab.report.formats import write_json, write_rows
from growlab.report.shapes import WHY
from growlab.report.terminal import Trimmed, as_it_is, console_for
from growlab.report.terminal_table import TableColumn, table_of

if TYPE_CHECKING:
    from growlab.records import Prediction
    from growlab.search.model.explaining import Effect, Explanation, Why

_MOST_EFFECTS, _MOST_RELEVANCES = 24, 8
_CLEAR = 2.0  # standard deviations beyond which a change is told as one


def render_why(why: "Why", format: str, stream: TextIO) -> None:
    """Write what is known: as a text or JSON whole, in TSV and CSV the effects. Raises UnknownName."""
    match format:
        case "table":
            _print(why, stream)
        case "json":
            write_json(why_as_mapping(why), stream)
        case _:
            from growlab.search.model.explaining import Effect

            write_rows(why.explanation.effects, [field.name for field in fields(Effect)], format, stream)


def why_as_mapping(why: "Why") -> dict[str, Any]:
    """Everything that is known, in plain types."""
    explanation = why.explanation
    following = None
    if why.following is not None:
        following = {
            "trial": why.following.number,
            "origin": why.following.decision.origin,
            "parent": why.following.decision.parent,
            "mutation": why.following.decision.mutation,
            "layout": why.following.layout,
            "params": dict(why.following.params),
            "predicted": None if why.expected is None else asdict(why.expected),
        }
    return {
        "shape": WHY,
        "study": why.study,
        "objective": explanation.objective,
        "sampler": explanation.sampler,
        "n_finished": explanation.n_finished,
        "n_best": explanation.n_best,
        "rank_correlation": explanation.rank_correlation,
        "predicts": explanation.predicts,
        "effects": [asdict(effect) for effect in explanation.effects],
        "relevances": [asdict(relevance) for relevance in explanation.relevances],
        "next": following,
        "promotion": None if why.promotion is None else asdict(why.promotion),
    }


def _print(why: "Why", stream: TextIO) -> None:
    console, explanation = console_for(stream), why.explanation
    console.print(as_it_is(f"{why.study}: {_how_well(explanation)}", "bold"))
    if explanation.effects:
        console.print()
        heading = f"change of {explanation.objective} over the best {explanation.n_best} trials, below 0 is better"
        console.print(as_it_is(f"{heading} (mean ± standard deviation)", "bold"))
        console.print(Trimmed(table_of(explanation.effects[:_MOST_EFFECTS], _columns())))
        if (n_more := len(explanation.effects) - _MOST_EFFECTS) > 0:
            console.print(f"and {n_more} changes of which less is sure: use --format tsv", style="dim")
    if explanation.relevances:
        console.print()
        console.print(as_it_is("what tells good trials from bad ones, by its share", "bold"))
        for relevance in explanation.relevances[:_MOST_RELEVANCES]:
            console.print(as_it_is(f"  {amounts.share(relevance.share):>6}  {relevance.name}"))
    for line in _next(why):
        console.print(as_it_is(line))


def _how_well(explanation: "Explanation") -> str:
    """How much is known, how well it predicts, and who decides."""
    n = f"{explanation.n_finished} trials reached a {explanation.objective}"
    correlation = explanation.rank_correlation
    if correlation is None:
        return f"{n}; nothing can be learnt before four did, and not all the same one"
    found = f"{n}; each predicted from the others: rank correlation {correlation:.2f}"
    if explanation.predicts:
        return f"{found}; sampler model lets the model decide"
    return f"{found}, not above 0.2: believe none of this yet; sampler model leaves the decision to evolution"


def _columns() -> "Sequence[TableColumn[Effect]]":
    return (
        TableColumn("change", lambda effect: effect.change, "left"),
        TableColumn("effect", lambda effect: f"{effect.mean:+.4f} ± {effect.sd:.4f}"),
        TableColumn("", _verdict, "left"),
        TableColumn("trials", lambda effect: str(effect.n_trials)),
        TableColumn("best", lambda effect: effect.best),
    )


def _verdict(effect: "Effect") -> str:
    if abs(effect.mean) < _CLEAR * effect.sd:
        return ""
    return "better" if effect.mean < 0 else "worse"


def _next(why: "Why") -> Iterator[str]:
    """What it would do now: let a trial go on from its rung, or try another one."""
    if why.promotion is not None:
        yield ""
        yield f"next: trial {why.promotion.trial} goes on from rung {why.promotion.rung + 1}"
        yield from _expected(why, why.promotion.predicted)
        return
    if why.following is None:
        return
    made = why.following
    yield ""
    parent = "" if made.decision.parent is None else f" of trial {made.decision.parent}"
    yield f"next, by sampler {why.explanation.sampler}: trial {made.number}, {made.decision.origin}{parent}"
    yield f"  {made.layout}"
    if made.params:
        yield "  " + ", ".join(f"{name} {short(value)}" for name, value in made.params.items())
    yield from _expected(why, why.expected)


def _expected(why: "Why", predicted: "Prediction | None") -> Iterator[str]:
    if predicted is not None:
        runs = f", {amounts.share(predicted.runs)} to reach one" if predicted.runs < 1 else ""
        yield f"  expected: {why.explanation.objective} {predicted.mean:.4f} ± {predicted.sd:.4f}{runs}"
