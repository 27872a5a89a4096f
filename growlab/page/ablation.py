"""Tables of comparisons: the arms of an ablation on paired seeds, or what each value of a searched choice came to."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from growlab import amounts
from growlab.defaults import USUAL_MARGIN
from growlab.domains import Choice
from growlab.page.figure import Charts
from growlab.page.leaderboard import known
from growlab.page.markup import Html, TableHead, element, table
from growlab.report.groups import GroupRow
from growlab.report.trial_values import value_text
from growlab.statistics.gains import loss_gains
from growlab.statistics.intervals import estimate
from growlab.statistics.verdict import Decision, Rule, decide

if TYPE_CHECKING:
    import pandas as pd

    from growlab.notebook import LoadedStudy

_MOST_KEYS = 4
REFERENCE = "what the others are compared with"
_UNGROWN = "ungrown"  # how the arms of an envelope begin (growlab.ablate.arms)


def section(study: "LoadedStudy", charts: Charts) -> Html:
    trials = study.trials()
    if "arm" in trials:
        return _arms(study, trials)
    return Html("".join(_choices(study, trials)))


# ---- an ablation ---------------------------------------------------------------------------------------------------


def _arms(study: "LoadedStudy", trials: "pd.DataFrame") -> Html:
    """Every arm at the full budget, and its difference to one of them on the seeds that both have."""
    repeats = trials[(trials.stage == "repeat") & (trials.budget == 1.0) & (trials.state == "completed")]
    losses: dict[str, dict[int, float]] = {}
    for arm, repeat, loss in zip(repeats.arm, repeats.repeat, repeats.val_loss, strict=True):
        if known(loss):
            losses.setdefault(str(arm), {})[int(repeat)] = float(loss)
    if not losses:
        return element("p", "No repeat of an arm has completed yet.", class_="note")
    reference = next((arm for arm in losses if arm.startswith(_UNGROWN)), next(iter(losses)))
    gains = {arm: loss_gains(of_arm, losses[reference]) for arm, of_arm in losses.items() if arm != reference}
    decisions = decide({arm: found for arm, found in gains.items() if found}, Rule(margin=USUAL_MARGIN))
    means = {arm: estimate(list(of_arm.values())) for arm, of_arm in losses.items()}
    rows = [
        [arm, len(losses[arm]), _mean(mean.mean, mean.low, mean.high), *_compared(arm, reference, decisions.get(arm))]
        for arm, mean in sorted(means.items(), key=lambda item: item[1].mean)
    ]
    words = (
        f"Arms at the whole budget, compared with {reference} on the same seeds; 95 % intervals, below 0 is better. A "
        f"difference within {USUAL_MARGIN:g} nats is called equal. Speed-ups and the file's own margin: growlab ablate "
        "FILE --read."
    )
    heads = [
        TableHead("arm"), TableHead("seeds", number=True), TableHead("val_loss", number=True),
        TableHead("difference", number=True), TableHead("verdict"),
    ]  # fmt: skip
    return Html(element("p", words) + table(heads, rows, "Arms of the ablation"))


def _compared(arm: str, reference: str, decision: Decision | None) -> list[str]:
    """The difference to the reference, and the verdict."""
    if arm == reference:
        return ["–", REFERENCE]
    if decision is None:
        return ["–", "no pairs"]
    shown = decision.shown
    low, high = (None, None) if shown is None else (shown.low, shown.high)
    return [_difference(-decision.gain.value, low and -low, high and -high), decision.text(f"{USUAL_MARGIN:g} nats")]


# ---- choices of a search -------------------------------------------------------------------------------------------


def _choices(study: "LoadedStudy", trials: "pd.DataFrame") -> Iterator[Html]:
    """A table for each searched choice between words of which several values completed."""
    done = trials[trials.state == "completed"]
    keys = [
        name
        for name, domain in study.study.scalars().items()
        if isinstance(domain, Choice) and name in done and done[name].nunique() > 1
    ][:_MOST_KEYS]
    if keys:
        yield element(
            "p",
            "What each value of a searched choice came to: means with 95 % intervals. Values that share seeds are "
            "compared on these; of a search, whose trials differ in all else too, this is no ablation.",
        )
    for key in keys:
        commonest = str(done[key].astype("str").mode().iloc[0]) if str(done[key].dtype) == "str" else None
        yield _group_table(study, key, commonest)


def _group_table(study: "LoadedStudy", key: str, against: str | None) -> Html:
    groups = study.groups(key, against=against)
    heads = [
        TableHead(key), TableHead("completed", number=True), TableHead("failed", number=True),
        TableHead(f"mean {groups.objective}", number=True), TableHead("difference", number=True), TableHead("verdict"),
    ]  # fmt: skip
    return Html(
        element("h3", key) + table(heads, [_group(row, groups.against) for row in groups.rows], f"Trials by {key}")
    )


def _group(row: GroupRow, against: str | None) -> list[object]:
    value = value_text(row.value)
    verdict = row.verdict or (REFERENCE if value == against else "–")
    difference = "–" if row.difference is None else _difference(row.difference, row.difference_low, row.difference_high)
    return [value, row.n, row.n_diverged + row.n_failed, _mean(row.mean, row.low, row.high), difference, verdict]


def _mean(mean: float | None, low: float | None, high: float | None) -> str:
    return amounts.loss(mean) + ("" if low is None or high is None else f" ({low:.4f} to {high:.4f})")


def _difference(value: float, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"{value:+.4f}"
    first, last = sorted((low, high))
    return f"{value:+.4f} ({first:+.4f} to {last:+.4f})"
