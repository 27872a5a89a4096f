"""The text that a trained model writes at the end of its trial.

Legend: T tokens of the window, V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from growlab.model.decoding import Sampling, draw, generate
from growlab.model.language_model import LanguageModel
from growlab.training.device import one_thread
from growlab.training.engine import Gear, GraphEngine
from growlab.training.run import TrialRun

PROMPT, LENGTH = 16, 240  # tokens
SAMPLING = Sampling(temperature=0.8)
ONE_CORE = 30_000_000  # parameters at most: at every product of one token many cores only wait for one another


def sample_text(run: TrialRun) -> str:
    """The first validation tokens and how the model goes on from them. The model is not trained after this."""
    prompt, model, seed = run.corpus.val[:PROMPT].tolist(), run.model.eval(), run.spec.seed
    if isinstance(run.engine, GraphEngine) and run.engine.can_record:
        run.engine.forget()  # which gives its memory back
        continued = write(model, prompt, LENGTH, SAMPLING, seed=seed)
    elif run.n_params > ONE_CORE:
        continued = list(generate(model, prompt, LENGTH, SAMPLING, seed=seed))
    else:
        with one_thread():
            continued = list(generate(model.cpu(), prompt, LENGTH, SAMPLING, seed=seed))
    return run.corpus.tokenizer.decode([*prompt, *continued])


@torch.no_grad()
def write(model: LanguageModel, prompt: Sequence[int], length: int, sampling: Sampling, *, seed: int) -> list[int]:
    """As generate, of a model in evaluation mode on a CUDA device.

    No state is carried: for each token a recorded pass over the whole window is replayed, whose launch takes less time
    than those of one token's operations. What stands behind the last token a causal model does not see.
    """
    assert len(prompt) > 0, "writing needs at least one token to start from"
    random = torch.Generator().manual_seed(seed)
    window = Window(model, torch.tensor([[*prompt, *[0] * length]], device=model.embedding.weight.device))
    engine = GraphEngine(Gear.GRAPH, window.look, window.ids_1T.device)
    written: list[int] = []
    for at in range(len(prompt), len(prompt) + length):
        engine.step(())
        written.append(draw(window.logits_1TV[0, at - 1], sampling, random))
        window.ids_1T[0, at] = written[-1]
    engine.forget()
    return written


class Window:
    def __init__(self, model: LanguageModel, ids_1T: Tensor) -> None:
        self.model, self.ids_1T = model, ids_1T

    def look(self) -> None:
        self.logits_1TV = self.model(self.ids_1T)
