"""The text that a trained model writes at the end of its trial.

Legend: T tokens of the window, V vocabulary.
"""

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Int
from torch import Tensor

from growlab.data.markers import ChatTokenizer
from growlab.data.turns import TurnSplit
from growlab.model.decoding import Drawer, Sampling, generate
from growlab.model.language_model import LanguageModel
from growlab.training.device import one_thread
from growlab.training.engine import Execution, GraphEngine
from growlab.training.run import TrialRun

PROMPT, LENGTH = 16, 240  # tokens
SAMPLING = Sampling(temperature=0.8)
ONE_CORE = 30_000_000  # parameters at most: at every product of one token many cores only wait for one another


def sample_text(run: TrialRun) -> str:
    """Write the first validation tokens and how the model goes on from them; the model is not trained after this.

    Of questions it is the first, on a line of its own, and the answer.
    """
    tokenizer, val = run.corpus.tokenizer, run.corpus.val
    if isinstance(val, TurnSplit):
        assert isinstance(tokenizer, ChatTokenizer)
        question = val.prompt(0)
        answer = continuation(run, question, never=tokenizer.speakers, end=tokenizer.end)
        return f"{tokenizer.decode(question)}\n{tokenizer.decode(answer)}"
    prompt = val[:PROMPT].tolist()
    return tokenizer.decode([*prompt, *continuation(run, prompt)])


def continuation(
    run: TrialRun, prompt: Sequence[int], *, never: Collection[int] = (), end: int | None = None
) -> list[int]:
    """Write LENGTH tokens, or those before `end`, by whatever is fastest here.

    It may take the model from its device.
    """
    model, seed = run.model.eval(), run.spec.seed
    if isinstance(run.engine, GraphEngine) and run.engine.can_record:
        run.engine.forget()  # which gives its memory back
        return write(model, prompt, LENGTH, SAMPLING, seed=seed, never=never, end=end)
    if run.n_params > ONE_CORE:
        return list(generate(model, prompt, LENGTH, SAMPLING, seed=seed, never=never, end=end))
    with one_thread():
        return list(generate(model.cpu(), prompt, LENGTH, SAMPLING, seed=seed, never=never, end=end))


@torch.no_grad()
def write(
    model: LanguageModel,
    prompt: Sequence[int],
    length: int,
    sampling: Sampling,
    *,
    seed: int,
    never: Collection[int] = (),
    end: int | None = None,
) -> list[int]:
    """Write tokens as `generate` does, of a model in evaluation mode on a CUDA device.

    No state is carried: for each token a recorded pass over the whole window is replayed, whose launch takes less time
    than those of one token's operations. What stands behind the last token a causal model does not see.
    """
    assert len(prompt) > 0, "writing needs at least one token to start from"
    drawer = Drawer(sampling, torch.Generator().manual_seed(seed), seen=prompt, never=never)
    window = Window(model, torch.tensor([[*prompt, *[0] * length]], device=model.embedding.weight.device))
    engine = GraphEngine(Execution.GRAPH, window.look, window.ids_1T.device)
    written: list[int] = []
    for at in range(len(prompt), len(prompt) + length):
        engine.step(())
        if (token := drawer.draw(window.logits_1TV[0, at - 1])) == end:
            break
        written.append(token)
        window.ids_1T[0, at] = token
    engine.forget()
    return written


class Window:
    def __init__(self, model: LanguageModel, ids_1T: Int[Tensor, "1 T"]) -> None:
        self.model, self.ids_1T = model, ids_1T

    def look(self) -> None:
        self.logits_1TV = self.model(self.ids_1T)
