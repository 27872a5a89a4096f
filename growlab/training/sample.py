"""The text that a trained model writes at the end of its trial.

Legend: T tokens of the window, L that are written, V vocabulary.
"""

from collections.abc import Collection, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from growlab.data.markers import ChatTokenizer
from growlab.data.turns import TurnSplit
from growlab.faults import is_out_of_memory
from growlab.model.decoding import Sampling, generate, ranked
from growlab.model.language_model import LanguageModel
from growlab.training.device import one_thread
from growlab.training.engine import Engine, GraphEngine, engine_beside
from growlab.training.run import TrialRun

PROMPT, LENGTH = 16, 240  # tokens
SAMPLING = Sampling(temperature=0.8)
ONE_CORE = 30_000_000  # parameters at most: at every product of one token many cores only wait for one another
LOOK_EVERY = 32  # tokens between looks at whether the text has ended, each of which waits for the device


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
    crowded = False
    if isinstance(run.engine, GraphEngine) and run.engine.can_record:
        try:
            return write(model, prompt, LENGTH, SAMPLING, seed=seed, never=never, end=end, beside=run.engine)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            crowded = True  # a trial that completed does not fail by its sample
        finally:
            run.forget_recordings()
    if run.n_params > ONE_CORE and not crowded:
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
    beside: Engine | None = None,
) -> list[int]:
    """Write tokens as `generate` does, of a model in evaluation mode, on a CUDA device without waiting for it.

    No state is carried: for each token a recorded pass over the whole window is replayed, whose launch takes less time
    than those of one token's operations. What stands behind the last token a causal model does not see. The pass draws
    the token too; whether it was `end` the host sees later.
    """
    assert len(prompt) > 0, "writing needs at least one token to start from"
    window = Window(model, prompt, length, sampling, seed=seed, never=never)
    device = window.ids_1T.device
    engine = engine_beside(beside, window.write_next, device)
    for n_written in range(1, length + 1):
        engine.step(())
        if end is not None and n_written % LOOK_EVERY == 0 and end in window.written(n_written):
            break
    written = window.written(n_written)
    engine.forget()
    return written if end not in written else written[: written.index(end)]


class Window:
    """A prompt and what is written behind it, in place and token by token: each is one pass, which can be recorded."""

    def __init__(
        self,
        model: LanguageModel,
        prompt: Sequence[int],
        length: int,
        sampling: Sampling,
        *,
        seed: int,
        never: Collection[int],
    ) -> None:
        device = model.embedding.weight.device
        self.model, self._sampling, self._n_prompt = model, sampling, len(prompt)
        self.ids_1T = torch.tensor([[*prompt, *[0] * length]], device=device)
        self._at_1 = torch.tensor([len(prompt)], device=device)  # where the next token comes
        self._seen_V = torch.zeros(model.vocab_size, dtype=torch.bool, device=device)
        self._seen_V[self.ids_1T[0, : len(prompt)]] = True
        self._never = torch.tensor(sorted(never), dtype=torch.long, device=device)
        self._noise_LV = _noise(length, model.vocab_size, seed).to(device)

    def written(self, n: int) -> list[int]:
        """The first n tokens behind the prompt. Waits for the device."""
        tokens: list[int] = self.ids_1T[0, self._n_prompt : self._n_prompt + n].tolist()
        return tokens

    def write_next(self) -> None:
        """Write a token. Never waits for the device."""
        logits_V = self.model(self.ids_1T)[0].index_select(0, self._at_1 - 1)[0].float()
        token_1 = self._draw(logits_V)
        self.ids_1T.index_copy_(1, self._at_1, token_1[None])
        self._seen_V.index_fill_(0, token_1, True)
        self._at_1 += 1

    def _draw(self, logits_V: Float[Tensor, " V"]) -> Int[Tensor, "1"]:
        """What growlab.model.decoding.draw draws."""
        penalty = self._sampling.repetition_penalty
        penalised_V = torch.where(logits_V > 0, logits_V / penalty, logits_V * penalty)
        logits_V = torch.where(self._seen_V, penalised_V, logits_V).index_fill(0, self._never, -torch.inf)
        if self._sampling.temperature == 0 or self._sampling.top_k == 1:
            return logits_V.argmax(-1, keepdim=True)
        weights_V, order_V = ranked(logits_V, self._sampling)
        noise_V = self._noise_LV.index_select(0, self._at_1 - self._n_prompt)[0]
        return order_V.gather(0, (weights_V / noise_V).argmax(-1, keepdim=True))


def _noise(length: int, vocab_size: int, seed: int) -> Float[Tensor, "L V"]:
    """The numbers that torch.multinomial divides weights by, to take the largest; call by call, on the CPU."""
    random = torch.Generator().manual_seed(seed)
    return torch.stack(
        [torch.empty(vocab_size, dtype=torch.float64).exponential_(generator=random) for _ in range(length)]
    )
