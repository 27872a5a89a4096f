"""growlab generate"""

from typing import Annotated

import typer

from growlab.commands.options import (
    Device,
    Exported,
    HardExit,
    Plugin,
    RepetitionPenalty,
    Seed,
    Stop,
    Temperature,
    TopK,
    TopP,
    show,
)


def generate(
    folder: Exported,
    prompt: Annotated[str, typer.Option(help="The text to go on from.")] = "",
    length: Annotated[int, typer.Option(min=1, help="Tokens to add.")] = 200,
    temperature: Temperature = 0.8,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    repetition_penalty: RepetitionPenalty = 1.0,
    stop: Stop = None,
    seed: Seed = 0,
    hard_exit: HardExit = False,
    device: Device = "auto",
    plugin: Plugin = None,
) -> None:
    """Let an exported model go on from a prompt."""
    from growlab.export.load import as_prompt, generate_text, ready_bundle
    from growlab.model.decoding import Sampling

    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, repetition_penalty=repetition_penalty)
    bundle = ready_bundle(folder, device, plugins=plugin or [], hard_exit=hard_exit)
    pieces = generate_text(bundle, prompt, length, sampling, seed, stop or [])  # refuses a prompt before it is echoed
    show(as_prompt(bundle, prompt))
    for piece in pieces:
        show(piece)
    show("\n")
