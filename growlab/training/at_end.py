"""What a study asks of a completed trial's model: measured once, at its end, and recorded (growlab.metrics)."""

import math
from collections.abc import Sequence

from growlab.faults import is_of_device
from growlab.metrics import AT_END, METRICS, OfLayout, OfModel, Trial, key_of, options_of
from growlab.model.cost import Costs
from growlab.named import Named
from growlab.records import Metric
from growlab.training.run import TrialRun


def require_known(asked: Sequence[Named]) -> None:
    """Raise NotRegistered, before anything is trained, for a metric that is not registered here."""
    for metric in asked:
        METRICS[metric.name]


def measure(run: TrialRun, asked: Sequence[Named]) -> tuple[list[Metric], str]:
    """Rows of what is asked, and what went wrong in words, '' where nothing did.

    A metric that fails is NaN, and no fault of the trial: it has been trained. But a device that failed is raised.
    """
    model, step = run.model.to(run.device), run.counters.step  # its sample may have moved it
    rows, problems = [], []
    for metric in asked:
        model.eval()
        try:
            value = float(_value(run, metric))
        except Exception as error:
            if is_of_device(error):
                raise
            value = math.nan
            problems.append(f"metric {metric.name}: {type(error).__name__}: {error}")
        rows.append(Metric(step=step, split=AT_END, name=key_of(metric.name, metric.options), value=value))
    return rows, "; ".join(problems)


def _value(run: TrialRun, metric: Named) -> float:
    match METRICS[metric.name].source:
        case OfLayout(amount=amount):
            trial, options = Trial(run.spec.train, run.spec.growth), options_of(metric.name, metric.options)
            return amount(Costs(run.model.vocab_size), run.model.layout, trial, options)
        case OfModel(measure=function):
            return function(run.model, run.corpus, run.device)
    raise AssertionError(f"training records {metric.name} itself")
