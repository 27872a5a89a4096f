"""A conversation with a model that was trained on questions and answers: one turn goes on from the last."""

from collections.abc import Collection, Generator, Iterator
from contextlib import closing

import torch

from growlab.data.markers import ChatTokenizer
from growlab.model.decoding import Decoder, Drawer, Sampling
from growlab.model.language_model import LanguageModel
from growlab.model.streaming import before_stop, whole_characters


class Conversation:
    """A dialogue in turns as in training: user, question, assistant, answer, end.

    The blocks' states carry what was said.

    In training a model saw `window` tokens at once. When what was said and the next question fill more than half of
    them, the oldest turns are forgotten, so that an answer begins in the first half, unless its question alone fills
    more. By as much as a question or an answer is longer than the window, it stands where no training has been.
    """

    def __init__(
        self, model: LanguageModel, tokenizer: ChatTokenizer, *, window: int, sampling: Sampling, seed: int
    ) -> None:
        self._model, self._tokenizer, self._window, self._sampling = model.eval(), tokenizer, window, sampling
        self._random = torch.Generator().manual_seed(seed)
        self.ended = True  # whether the last answer came to its own end, and was not cut short
        self.reset()

    def reset(self) -> None:
        """Forget everything that was said. Random numbers go on, so that a question can be asked anew."""
        self._turns: list[list[int]] = []
        self._decoder = Decoder(self._model)

    def answer(self, question: str, max_tokens: int, stops: Collection[str] = ()) -> Iterator[str]:
        """Yield pieces of the answer as they are drawn, whole characters, no marker and no stop string.

        Raises CannotEncode, before anything is said, for a question with characters that the model has never seen.
        """
        prompt = self._tokenizer.question(question)
        self._make_room(len(prompt))
        return self._pieces(prompt, max_tokens, stops)

    def _pieces(self, prompt: list[int], max_tokens: int, stops: Collection[str]) -> Iterator[str]:
        with closing(self._tokens(prompt, max_tokens)) as tokens:
            yield from before_stop(whole_characters(self._tokenizer, tokens), stops)

    def _tokens(self, prompt: list[int], max_tokens: int) -> Generator[int]:
        """Yield tokens of the answer, without its end. However it ends, the turn is closed, as the next one expects."""
        end = self._tokenizer.end
        # only what is said now counts as repeated: were ends of earlier turns to count, answers would never end
        drawer = Drawer(self._sampling, self._random, seen=prompt[1:-1], never=self._tokenizer.speakers)
        self._decoder.read(prompt)
        turn, self.ended = [*prompt], False
        try:
            for token in self._decoder.write(max_tokens, drawer, end=end):
                turn.append(token)
                yield token
            self.ended = len(turn) < len(prompt) + max_tokens
        finally:
            self._decoder.read([end])
            self._turns.append([*turn, end])

    def _make_room(self, n_tokens: int) -> None:
        kept = list(self._turns)
        while kept and sum(map(len, kept)) + n_tokens > self._window // 2:
            kept.pop(0)
        if len(kept) < len(self._turns):
            self.reset()
            self._turns = kept
            self._decoder.read(token for turn in kept for token in turn)
