"""Losses over what was spent, drawn with characters: the same picture on a terminal and in a pipe."""

from collections.abc import Mapping, Sequence
from typing import Any

from growlab import amounts
from growlab.finite import finite_only

_WIDTH, _HEIGHT = 54, 14  # characters; with its axes the picture is 80 wide
_BEYOND = 1.03  # plotille does not draw what lies on the right edge
_BLANK = "⠀"  # braille without a dot, with which plotille fills up


def loss_curve(
    val_loss: Mapping[int, float], train_loss: Mapping[int, float], growths: Sequence[int] = (), *, over: str = "tokens"
) -> str:
    """Draw nats per token over FLOPs or tokens, with `growths` marked below; nothing where no loss is finite.

    Both mappings are from what was spent to a loss; `over` names it. Validation is marked point by point, so that the
    two can be told apart without colours.
    """
    val_loss, train_loss = finite_only(val_loss), finite_only(train_loss)
    losses = [*val_loss.values(), *train_loss.values()]
    if not losses:
        return ""
    low, high = _with_margin(min(losses), max(losses))
    figure = _figure(end=max([*val_loss, *train_loss, 1]), low=low, high=high, over=over)
    legend = []
    if train_loss:
        figure.plot(list(train_loss), list(train_loss.values()))
        legend = ["⠒ training"]
    if val_loss:
        figure.plot(list(val_loss), list(val_loss.values()), marker="o", interp=None)
        legend = ["o validation", *legend]
    if growths:
        figure.text(list(growths), [low] * len(growths), ["▲"] * len(growths))
        legend = [*legend, "▲ growth"]
    return "\n".join([*_trimmed(figure.show()), "   ".join([*legend, f"(nats per token over {over})"])])


def _figure(*, end: float, low: float, high: float, over: str) -> Any:
    import plotille

    figure = plotille.Figure()
    figure.width, figure.height, figure.with_colors, figure.origin = _WIDTH, _HEIGHT, False, False
    figure.set_x_limits(0, end * _BEYOND)
    figure.set_y_limits(low, high)
    figure.x_label, figure.y_label = over, "loss"
    figure.x_ticks_fkt = lambda value, _: _tick(value, over)
    figure.y_ticks_fkt = lambda value, _: f"{value:.3f}"
    figure.linesep = "\n"
    return figure


def _tick(value: float, over: str) -> str:
    if over == "tokens":
        return amounts.count(value)
    return amounts.flops(value).removesuffix("FLOPs").replace(" ", "")


def _trimmed(picture: str) -> list[str]:
    return [line.rstrip(f" {_BLANK}") for line in picture.split("\n")]


def _with_margin(low: float, high: float) -> tuple[float, float]:
    """The range with a little more on both sides, and nothing below zero, where no loss can be."""
    margin = (high - low) * 0.05 or max(abs(high) * 0.05, 1e-6)
    return max(low - margin, min(low, 0.0)), high + margin
