"""Whether a new trial or one that waits at a rung is worth more, by what the model expects of both at their ends.

    worth = expected improvement / expected cost
    expected cost = Σ_j (share_{j+1} − share_j) / factor^j    over the parts of the budget that are still to be paid

The cost is that of successive halving: of what comes to a rung, one in `factor` is trained on. What waits at a rung is
a trial whose value is expected and not known: the less sure, the lower its rung (growlab.search.rungs.standing), which
the model is told as noise of its own.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from growlab.records import PastTrial, Prediction, TrialState
from growlab.rungs import Rungs
from growlab.search.configuration import Configuration, configuration_of
from growlab.search.model.aim import aim_of
from growlab.search.model.outlook import look_ahead
from growlab.search.model.suggesting import prediction, reader_of
from growlab.search.sampling import Ask


def expected_cost(rungs: Rungs, n_passed: int) -> float:
    """The share of a budget that training a trial on is expected to cost, which has passed so many rungs."""
    levels = (0.0, *rungs.shares, 1.0)
    to_pay = [upper - lower for lower, upper in pairwise(levels)][n_passed:]
    return sum(share / rungs.factor**at for at, share in enumerate(to_pay))


def worth_more(
    ask: Ask, rungs: Rungs, past: Sequence[PastTrial], new: Configuration
) -> tuple[PastTrial, Prediction] | None:
    """The paused trial that is worth more than a new one and than all others, and what is expected of it.

    `ask.past` is `past` with a value for each trial that came to a rung.
    """
    waiting = [(trial, made) for trial in past if trial.is_paused and (made := _configuration(ask, trial)) is not None]
    if not waiting:
        return None
    reader = reader_of(ask)
    tried = reader.read(ask.past)
    outlook = look_ahead(reader.encoding, tried, reader.transfer)
    finished = {trial.number for trial in past if trial.state is TrialState.COMPLETED}
    aim = aim_of(ask, outlook, tried, among=finished)
    gains, runs = aim.prospects([new, *(made for _, made in waiting)])
    costs = [expected_cost(rungs, 0), *(expected_cost(rungs, len(trial.readings)) for trial, _ in waiting)]
    worth = (gains * runs / np.array(costs)).round(12).tolist()
    best = max(range(len(worth)), key=lambda at: (worth[at], -at))
    if best == 0:
        return None
    trial, made = waiting[best - 1]
    return trial, prediction(outlook, made)


def _configuration(ask: Ask, trial: PastTrial) -> Configuration | None:
    return configuration_of(trial, ask.study.scalars(), ask.menu.kinds)
