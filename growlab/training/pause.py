"""What a growth costs in time: from the stop of training until it goes at full speed again."""

import torch

from growlab.records import Metric
from growlab.training.timing import Stopwatch


class Pause:
    """The metric `pause_s` at the step of the stop, split train, in seconds; once for every growth and every thaw.

    It holds the operator and the evaluation after it, the steps that an engine needs before it has recorded one,
    and whatever else happens meanwhile. A trial's pauses never overlap: a stop while training is not yet at full speed
    prolongs the pause that is, and a growth at the very step of a thaw tells the sum of both, in place of the thaw's.
    Nothing of it is in a checkpoint: a trial that is resumed in the middle of a pause has no figure for it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._step, self._lasted = 0, 0.0
        self._watch: Stopwatch | None = None  # None: training goes at full speed, or has not been stopped

    def begin(self, step: int) -> None:
        """Note that training stops at this step, for what is about to be done."""
        if self._watch is not None:
            return
        if step != self._step:
            self._step, self._lasted = step, 0.0
        self._watch = Stopwatch(self._device)

    def end(self) -> Metric | None:
        """The metric to record now that the engine has settled; None when nothing was stopped."""
        if self._watch is None:
            return None
        self._lasted += self._watch.lap()
        self._watch = None
        return Metric(step=self._step, split="train", name="pause_s", value=self._lasted)
