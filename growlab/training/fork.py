"""Forking a trial: hold all that a run is, and make a run stand there again, bit for bit on a CPU.

One mechanism for whatever tries something and may take it back: a probe of growth (growlab.training.probing), and a
copy that is decayed off its trunk (`decay_off`). What a run is made of is said once, by what a checkpoint holds
of it (growlab.training.checkpoint.pack). What is held lies in host memory, one copy of weights, moments and windows.
"""

import copy
from dataclasses import dataclass, replace
from itertools import count, takewhile

from torch import Tensor

from growlab.training.branch import Held
from growlab.training.checkpoint import below, header_of, pack, unpack
from growlab.training.run import TrialRun
from growlab.training.schedule import decay, lr_at

_INCREMENT = "increment/"  # of the windows and sketches; a checkpoint has files of their own for them


def hold(run: TrialRun) -> Held:
    """Copy all that a run is to the host, once its curriculum has been followed: `stand` takes the stage from progress.

    Waits for the device.
    """
    tensors, numbers = pack(run)
    for at, increment in enumerate(run.growth.paths.increments().values()):
        tensors |= {f"{_INCREMENT}{at}/{name}": tensor for name, tensor in increment.items()}
    held = {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
    return Held(tensors=held, numbers=copy.deepcopy(numbers) | {"increments": []})


def stand(run: TrialRun, held: Held) -> None:
    """Make a run what it was when it was held, as often as wanted; only the time that it took goes on.

    Its model, optimizer and growth are others afterwards: whoever kept one of them asks the run again.
    """
    numbers = header_of(held.numbers)
    elapsed_s, n_taken = run.counters.elapsed_s, run.growth.window.n_taken
    growth = numbers.growth
    run.rebuild(grown=numbers.grown, born=numbers.born, positions=growth.positions, enclosed=growth.enclosed)
    increments = _increments(held)
    unpack(run, held.tensors, numbers, increments)
    run.counters.elapsed_s = elapsed_s
    if n_taken != numbers.n_taken:  # serial numbers were given away since, and none is used twice
        run.growth.window.n_taken = n_taken + len(increments)


def _increments(held: Held) -> list[dict[str, Tensor]]:
    return list(takewhile(bool, (below(f"{_INCREMENT}{at}/", held.tensors) for at in count())))


@dataclass(frozen=True, kw_only=True)
class Decayed:
    """What a copy of a run became when its learning rate was brought to its end."""

    val_loss: float  # nats per token; not finite where it diverged
    flops: int  # that the copy cost; nobody has charged them yet
    steps: int


def decay_off(run: TrialRun, share: float) -> Decayed:
    """Train a copy of a run for `share` of the FLOPs that it has spent, while lr falls to its end; evaluate, drop it.

    lr falls from its present value as the trial's own schedule would let it fall. The copy reads the data that would
    come next and grows no further. The run stands afterwards where it stood, random numbers included: training goes on
    as if nothing had been tried.

    Source: Hägele et al. 2024, "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations".
    """
    trunk, begun = hold(run), replace(run.counters)
    train, budget = run.spec.train, round(share * begun.flops)
    now, end = lr_at(run.progress, train), train.lr * train.min_lr_ratio
    while (spent := run.counters.flops - begun.flops) < budget:
        run.train_step_at(end + (now - end) * decay(1 - spent / budget, train))
        if run.growth.advance_to(run.counters.step):
            run.refit_step()
        run.advance_stage()
    loss = run.evaluate().loss
    spent, steps = run.counters.flops - begun.flops, run.counters.step - begun.step
    stand(run, trunk)
    return Decayed(val_loss=loss, flops=spent, steps=steps)
