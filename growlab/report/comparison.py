"""Trials side by side, of one study or of several: what they came to, and in which values they differ."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from growlab.errors import UsageError
from growlab.escapes import quoted
from growlab.report.json_values import json_value
from growlab.report.shapes import COMPARISON
from growlab.report.trial_facts import TrialFacts, read_facts
from growlab.report.trial_values import TrialValue, values_of
from growlab.storage import Store

_RESULT = ("n_params", "val_loss", "best_val_loss", "bits_per_byte", "flops", "tokens", "steps", "elapsed_s")


@dataclass(frozen=True)
class TrialName:
    """A trial among those of several studies: STUDY:N."""

    study: str
    number: int

    def __str__(self) -> str:
        return f"{self.study}:{self.number}"


@dataclass(frozen=True, kw_only=True)
class ComparedTrial:
    name: TrialName
    facts: TrialFacts
    values: Mapping[str, TrialValue]  # every one that it was made with, by full name
    curve: Mapping[int, float]  # val_loss by FLOPs
    at_equal_flops: float | None  # val_loss where the one that spent least ended; None where it is not known


@dataclass(frozen=True, kw_only=True)
class Comparison:
    trials: tuple[ComparedTrial, ...]  # as they were asked for
    differing: tuple[str, ...]  # keys of the values of which they have several, study and seed included
    equal_flops: int | None  # of `at_equal_flops`


def read_names(words: Sequence[str]) -> list[TrialName]:
    """The trials in the words STUDY N M OTHER:K, or STUDY:N OTHER:K; a number alone is of the study named first.

    Raises UsageError where a trial is not named, or fewer than two of them are.
    """
    names: list[TrialName] = []
    first = ""
    for at, word in enumerate(words):
        study, colon, number = word.rpartition(":")
        if not colon and at == 0:
            first = word
        elif not number.isdecimal():
            raise UsageError(f"{quoted(word)} names no trial; write a number of {first or 'a study'}, or STUDY:NUMBER")
        elif not (study or first):
            raise UsageError(f"{quoted(word)} is a trial of no study; write STUDY:{number}, or the study first")
        else:
            first = first or study
            names.append(TrialName(study or first, int(number)))
    if len(names := list(dict.fromkeys(names))) < 2:
        raise UsageError("--compare needs two trials at least; write: growlab report STUDY N M --compare")
    return names


def read_comparison(store: Store, names: Sequence[TrialName]) -> Comparison:
    """Read the trials and what they differ in. Raises NotFound for a study or a number that there is not."""
    studies = {name.study: store.study(name.study) for name in names}
    facts = {name: read_facts(store, studies[name.study], name.number) for name in names}
    curves = {name: _by_flops(of_trial) for name, of_trial in facts.items()}
    ends = [max(curve) for curve in curves.values() if curve]
    equal = min(ends) if len(ends) == len(names) else None
    trials = [
        ComparedTrial(
            name=name,
            facts=of_trial,
            values=values_of(of_trial.trial, name.study),
            curve=curves[name],
            at_equal_flops=None if equal is None else _at(curves[name], equal),
        )
        for name, of_trial in facts.items()
    ]
    return Comparison(trials=tuple(trials), differing=tuple(_differing(trials)), equal_flops=equal)


def comparison_as_mapping(comparison: Comparison) -> dict[str, Any]:
    """Everything that is known, in the types of JSON, as docs/report-json.md describes it."""
    mapping: dict[str, Any] = json_value(
        {
            "shape": COMPARISON,
            "differing": list(comparison.differing),
            "equal_flops": comparison.equal_flops,
            "trials": [_trial_as_mapping(trial) for trial in comparison.trials],
        }
    )
    return mapping


def _trial_as_mapping(compared: ComparedTrial) -> dict[str, Any]:
    trial = compared.facts.trial
    return {
        **asdict(compared.name),
        "state": trial.state,
        "layout": trial.layout,
        "layout_end": trial.layout_end,
        **{name: getattr(trial, name) for name in _RESULT},
        "n_growths": n_growths(compared.facts),
        "at_equal_flops": compared.at_equal_flops,
        "values": compared.values,
        "curve": [{"flops": flops, "val_loss": loss} for flops, loss in sorted(compared.curve.items())],
    }


def n_growths(facts: TrialFacts) -> int:
    """How often a trial grew, by however many units at once."""
    return len({event.step for event in facts.growth_events})


def _by_flops(facts: TrialFacts) -> dict[int, float]:
    spent = facts.by_step("train", "flops")
    return {int(spent[step]): loss for step, loss in facts.by_step("val", "loss").items() if step in spent}


def _at(curve: Mapping[int, float], flops: int) -> float | None:
    """val_loss at so many FLOPs, by a straight line between two evaluations; None before the first."""
    if not curve or flops < min(curve):
        return None
    before = max(known for known in curve if known <= flops)
    after = min((known for known in curve if known >= flops), default=before)
    share = 0.0 if after == before else (flops - before) / (after - before)
    return curve[before] + share * (curve[after] - curve[before])


def _differing(trials: Sequence[ComparedTrial]) -> list[str]:
    keys = dict.fromkeys(key for trial in trials for key in trial.values)
    return [key for key in keys if len({trial.values.get(key) for trial in trials}) > 1]
