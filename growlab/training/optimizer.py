"""AdamW for a model that grows: it adopts new parameters, and what it remembers goes by name."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from growlab.specs import TrainSpec
from growlab.training.schedule import rewarm

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class GrowingAdamW:
    """AdamW that adopts parameters. Matrices are decayed; vectors, and what a block marked `no_decay`, are not.

    lr is a tensor, so that a captured step can read it.

    Each adoption makes its own groups: the moments of older parameters stay as they are, bit for bit, and
    new ones begin with none and with their own step count (an inherited count makes the first update
    3.16 times too large at betas 0.9, 0.999). A parameter without a gradient is left alone entirely.
    """

    def __init__(
        self,
        named: Iterable[tuple[str, nn.Parameter]],
        spec: TrainSpec,
        device: torch.device,
        born: Mapping[str, int] = MappingProxyType({}),
        *,
        new_decay_factor: float = 1.0,
    ) -> None:
        """Begin with parameters that entered the model at the steps of `born`; at 0 where it does not name them.

        The weight decay of those that grew is multiplied by `new_decay_factor`.
        """
        self.spec, self.device, self.new_decay_factor = spec, device, new_decay_factor
        self.born: dict[str, int] = {}
        self._parameters: dict[str, nn.Parameter] = {}
        named = list(named)
        generations = sorted({born.get(name, 0) for name, _ in named})
        groups = [
            group
            for birth in generations
            for group in self._take([pair for pair in named if born.get(pair[0], 0) == birth], born=birth)
        ]
        # capturable: a step may be part of a recorded CUDA graph
        self._adamw = torch.optim.AdamW(
            groups, betas=(spec.beta1, spec.beta2), fused=True, capturable=device.type == "cuda"
        )

    def adopt(self, named: Iterable[tuple[str, nn.Parameter]], *, born: int) -> None:
        """Take over parameters that entered the model at step `born`."""
        for group in self._take(named, born=born):
            self._adamw.add_param_group(group)

    def rename(self, named: Iterable[tuple[str, nn.Parameter]]) -> None:
        """Call the parameters that it has by these names; all else of them stays. Others are not taken over."""
        names = {parameter: name for name, parameter in named}
        self.born = {names[parameter]: self.born[before] for before, parameter in self._parameters.items()}
        self._parameters = {names[parameter]: parameter for parameter in self._parameters.values()}

    def inherit(self, originals: Mapping[str, str], *, scale: float) -> None:
        """Begin with the state of other parameters, by name: first moments times `scale`, second ones times its square.

        Their step count comes with them, since the moments are as much biased as theirs. A scale of 0 leaves new
        parameters without a state, as does an original that was never updated.
        """
        if not scale:
            return
        for name, original in originals.items():
            if state := self._adamw.state.get(self._parameters[original]):
                self._adamw.state[self._parameters[name]] = {
                    "step": state["step"].clone(),
                    "exp_avg": state["exp_avg"] * scale,
                    "exp_avg_sq": state["exp_avg_sq"] * scale**2,
                }

    def set_lr(self, lr: float, *, step: int, rewarm_steps: int, new_lr_factor: float = 1.0) -> None:
        """Set the lr of every group; of those that grew it rises over `rewarm_steps` to `new_lr_factor` times lr."""
        for group in self._adamw.param_groups:
            share = rewarm(step, group["born"], rewarm_steps)
            group["lr"].fill_(lr * (share * new_lr_factor if group["born"] else share))

    def step(self) -> Float[Tensor, ""]:
        """Clip and update; returns the gradient's norm before clipping, on the device. No synchronisation."""
        norm = nn.utils.clip_grad_norm_(self._parameters.values(), self.spec.grad_clip)
        self._adamw.step()
        self._adamw.zero_grad(set_to_none=True)
        return norm

    def state(self) -> dict[str, Float[Tensor, "..."]]:
        """Moments by 'name/exp_avg', … for every parameter that has been updated at least once."""
        return {
            f"{name}/{moment}": self._adamw.state[parameter][moment]
            for name, parameter in self._parameters.items()
            if parameter in self._adamw.state
            for moment in _MOMENTS
        }

    def load(self, state: dict[str, Float[Tensor, "..."]]) -> None:
        """Restore `state`, onto parameters of the same names."""
        for name, parameter in self._parameters.items():
            if f"{name}/step" not in state:
                continue
            self._adamw.state[parameter] = {
                moment: state[f"{name}/{moment}"].to(self.device).clone() for moment in _MOMENTS
            }

    def _take(self, named: Iterable[tuple[str, nn.Parameter]], *, born: int) -> list[dict[str, Any]]:
        named = list(named)
        self._parameters.update(named)
        self.born.update((name, born) for name, _ in named)
        decayed = [parameter for _, parameter in named if _is_decayed(parameter)]
        undecayed = [parameter for _, parameter in named if not _is_decayed(parameter)]
        weight_decay = self.spec.weight_decay * (self.new_decay_factor if born else 1.0)
        return [
            {"params": chosen, "weight_decay": decay, "born": born, "lr": torch.zeros((), device=self.device)}
            for decay, chosen in ((weight_decay, decayed), (0.0, undecayed))
            if chosen
        ]


def _is_decayed(parameter: nn.Parameter) -> bool:
    return parameter.dim() >= 2 and not getattr(parameter, "no_decay", False)
