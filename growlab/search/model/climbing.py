"""Whether a new trial or one that waits at a rung is worth more, by what the model expects of both at their ends.

    worth = expected improvement / expected cost
    expected cost = Σ_j (share_{j+1} − share_j) / factor^j    over the parts of the budget that are still to be paid

The cost is that of successive halving: of what comes to a rung, one in `factor` is trained on. What waits at a rung is
a trial whose value is expected and not known: the less sure, the lower its rung (growlab.search.rungs.standing), which
the model is told as noise of its own.
"""

from collections.abc import Sequence
from itertools import pairwise

from growlab.records import PastTrial, Prediction, TrialState
from growlab.rungs import Rungs
from growlab.search.configuration import configuration_of
from growlab.search.model.choice import WIDER, expected_improvement
from growlab.search.model.outlook import look_ahead
from growlab.search.model.suggesting import prediction, reader_of
from growlab.search.sampling import Ask


def expected_cost(rungs: Rungs, n_passed: int) -> float:
    """The share of a budget that training a trial on is expected to cost, which has passed so many rungs."""
    levels = (0.0, *rungs.shares, 1.0)
    to_pay = [upper - lower for lower, upper in pairwise(levels)][n_passed:]
    return sum(share / rungs.factor**at for at, share in enumerate(to_pay))


def worth_more(
    ask: Ask, rungs: Rungs, past: Sequence[PastTrial], new: Prediction
) -> tuple[PastTrial, Prediction] | None:
    """The paused trial that is worth more than a new one of which that much is expected, and what is expected of it.

    `ask.past` is `past` with a value for each trial that came to a rung.
    """
    reader = reader_of(ask)
    outlook = look_ahead(reader.encoding, reader.read(ask.past), reader.transfer)
    finished = {trial.number for trial in past if trial.state is TrialState.COMPLETED}
    expected = dict(zip((trial.number for trial in outlook.good), outlook.expected.tolist(), strict=True))
    best = min((value for number, value in expected.items() if number in finished), default=min(expected.values()))

    def worth(predicted: Prediction, n_passed: int) -> float:
        gain = float(expected_improvement(best, predicted.mean, WIDER * predicted.sd))
        return round(gain * predicted.runs / expected_cost(rungs, n_passed), 12)

    found, most = None, worth(new, 0)
    for trial in past:
        if not trial.is_paused:
            continue
        made = configuration_of(trial, ask.study.scalars(), ask.menu.kinds)
        if made is None:
            continue
        predicted = prediction(outlook, made)
        if (here := worth(predicted, len(trial.readings))) > most:
            found, most = (trial, predicted), here
    return found
