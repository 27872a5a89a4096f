"""growlab eval: an exported model on a text of one's own."""

from pathlib import Path
from typing import Annotated

import typer

from growlab import api
from growlab.commands.options import Device, Exported, Json, Plugin, in_home


def evaluate(
    folder: Exported,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A text, a folder of .txt files, or what the model was trained on: questions and answers, a table, "
            "ids in a .bin.",
            callback=in_home,
            show_default=False,
        ),
    ] = None,
    column: Annotated[str, typer.Option(help="Of a table.", show_default="that of the model's own data")] = "",
    recall: Annotated[
        int, typer.Option(min=0, metavar="N", help="Also: N pairs of tokens, each asked for later.", show_default=False)
    ] = 0,
    needle: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Also: one of N marked pairs, hidden among others.", show_default=False),
    ] = 0,
    batch_size: Annotated[int, typer.Option(min=0, help="Windows at once.", show_default="as in training")] = 0,
    device: Device = "auto",
    as_json: Json = False,
    plugin: Plugin = None,
) -> None:
    """Compute the loss of an exported model on a text: one full pass; perplexity and bits per byte with it.

    Every token but the first is predicted once, in windows as long as in training. Of questions and answers only the
    answers count. Recall and needle say how many answers are right, beside what a guess would have.
    """
    from growlab.escapes import json_text

    found = api.evaluate(
        folder,
        data or "",
        column=column,
        recall=recall,
        needle=needle,
        batch_size=batch_size,
        device=device,
        plugins=plugin or [],
    )
    if as_json:
        print(json_text(found.as_mapping(), indent=2))
        return
    if text := found.text:
        for name in ("loss", "perplexity", "bits_per_byte", "n_tokens", "n_bytes"):
            if (value := getattr(text, name)) is not None:
                print(f"{name}\t{value!r}")
    for task in found.tasks:
        print(f"{task.task}_accuracy\t{task.accuracy!r}")
        print(f"{task.task}_chance\t{task.chance!r}")
