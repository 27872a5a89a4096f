"""A tokenizer of texts, and three markers that no text has: who speaks, and that an answer is over.

The markers are ids above those of the text. They have no spelling, so that nothing that is typed can become
one and nothing that is decoded can show one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from growlab.data.tokens import Ids, Tokenizer

_N_MARKERS = 3


@dataclass(frozen=True)
class ChatTokenizer(Tokenizer):
    """A tokenizer with markers around `text`'s tokens of what is said.

    A turn is: user, question, assistant, answer, end.
    """

    text: Tokenizer

    @property
    def user(self) -> int:
        return self.text.vocab_size

    @property
    def assistant(self) -> int:
        return self.text.vocab_size + 1

    @property
    def speakers(self) -> tuple[int, int]:
        """The markers that a model must not say."""
        return self.user, self.assistant

    @property
    def end(self) -> int:
        return self.text.vocab_size + 2

    @property
    def vocab_size(self) -> int:
        return self.text.vocab_size + _N_MARKERS

    def encode(self, text: str) -> Ids:
        """Encode a text, never to a marker."""
        return self.text.encode(text).astype(self.dtype)

    def question(self, question: str) -> list[int]:
        """Encode a question with the markers around it, which an answer comes after. Raises CannotEncode."""
        return [self.user, *self.encode(question).tolist(), self.assistant]

    def answer(self, answer: str) -> list[int]:
        """Encode an answer with its end. Raises CannotEncode."""
        return [*self.encode(answer).tolist(), self.end]

    def decode(self, ids: ArrayLike) -> str:
        return self.text.decode(self._without_markers(ids))

    def to_bytes(self, ids: ArrayLike) -> bytes:
        return self.text.to_bytes(self._without_markers(ids))

    def n_bytes(self, ids: ArrayLike) -> int:
        """Count the bytes of UTF-8 that ids stand for; a marker stands for none."""
        return self.text.n_bytes(self._without_markers(ids))

    def to_mapping(self) -> dict[str, Any]:
        return {"type": "chat", "text": self.text.to_mapping()}

    def _without_markers(self, ids: ArrayLike) -> ArrayLike:
        ids = np.asarray(ids, dtype=np.intp)
        return ids[ids < self.text.vocab_size]
