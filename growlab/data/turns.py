"""Questions and answers as tokens. A turn is: user, question, assistant, answer, end (growlab.data.markers).

    training    rows of several turns, drawn with replacement: a session, as growlab chat goes on with one
    held out    each turn by itself, whole, padded at its end, which a causal model cannot see

Only answers and their ends count. Legend: B rows, L tokens of a row, C turns.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from growlab.data.byte_level import ByteLevelTokenizer
from growlab.data.markers import ChatTokenizer
from growlab.data.qa import Pair
from growlab.data.tasks import Draws, Sequences, Stream
from growlab.data.tokenizers import (
    ByteTokenizer,
    CharTokenizer,
    IdTokenizer,
    recorded_tokenizer,
    require_recorded_tokenizer,
    text_has_no_ids,
)
from growlab.errors import DataError, SpecError
from growlab.specs import DataSpec

_NAMED = 5  # of the questions that are left out


def tokenizer_of_pairs(spec: DataSpec, pairs: Sequence[Pair], train: Sequence[Pair]) -> tuple[ChatTokenizer, str]:
    """Make the tokenizer that the spec names, with markers.

    Its sha256 is without them, '' where the pairs determine it.
    """
    match spec.tokenizer:
        case "byte":
            return ChatTokenizer(ByteTokenizer()), ""
        case "char":
            parts = (part for pair in pairs for part in (pair.question, pair.answer))
            return ChatTokenizer(CharTokenizer.for_pieces(parts)), ""
        case "bpe":
            lines = (f"{pair.question}\n{pair.answer}\n" for pair in train)
            learnt = ByteLevelTokenizer.learn(lines, spec.vocab_size)
            return ChatTokenizer(learnt), require_recorded_tokenizer(spec, learnt)
        case "file":
            return _tokenizer_of_a_file(spec)
    raise text_has_no_ids(spec)


def _tokenizer_of_a_file(spec: DataSpec) -> tuple[ChatTokenizer, str]:
    """Load a tokenizer, also that of a model which was trained on other questions and answers."""
    tokenizer, sha256 = recorded_tokenizer(spec)
    if isinstance(tokenizer, IdTokenizer):
        raise SpecError(
            f"source {spec.source!r} gives text, and {spec.tokenizer_path} is a tokenizer of bare ids; "
            "give another, or set data.tokenizer to char, byte or bpe"
        )
    return tokenizer if isinstance(tokenizer, ChatTokenizer) else ChatTokenizer(tokenizer), sha256


@dataclass(frozen=True, kw_only=True, eq=False)
class TurnSplit:
    """A split of turns, one after the other."""

    ids: NDArray[np.int32]
    are_answers: NDArray[np.bool_]  # which of them are of an answer, its end included
    starts: NDArray[np.int64]  # where each turn begins
    lengths: NDArray[np.int64]
    n_prompts: NDArray[np.int64]  # tokens of each before its answer
    wheres: tuple[str, ...]
    padding: int

    @classmethod
    def of(cls, pairs: Sequence[Pair], tokenizer: ChatTokenizer) -> Self:
        """Encode pairs into a split. Raises CannotEncode."""
        questions = [tokenizer.question(pair.question) for pair in pairs]
        answers = [tokenizer.answer(pair.answer) for pair in pairs]
        parts = [part for turn in zip(questions, answers, strict=True) for part in turn]
        lengths = np.array([len(part) for part in parts], dtype=np.int64).reshape(-1, 2)
        lengths_C = lengths.sum(axis=1)
        return cls(
            ids=np.array([token for part in parts for token in part], dtype=np.int32),
            are_answers=np.repeat(np.arange(2 * len(pairs)) % 2 == 1, lengths.ravel()),
            starts=np.cumsum(lengths_C) - lengths_C,
            lengths=lengths_C,
            n_prompts=lengths[:, 0],
            wheres=tuple(pair.where for pair in pairs),
            padding=tokenizer.end,
        )

    @property
    def size(self) -> int:
        """The number of tokens of all turns."""
        return self.ids.size

    def __len__(self) -> int:
        return len(self.wheres)

    def training(self, n_rows: int, length: int, seed: int, step: int) -> Sequences:
        """Draw turns with replacement until each row is full; the last of a row is cut there. A pure function.

        Never a turn whose question alone fills a row: nothing in it would count.
        """
        fitting = np.flatnonzero(self.n_prompts < length)
        n_turns = -(-length // int(self.lengths[fitting].min()))  # enough of the shortest
        drawn_BC = fitting[Draws(Stream.TRAIN, seed, step).below(len(fitting), (n_rows, n_turns))]
        at_BL = np.stack([self._session(drawn_C, length) for drawn_C in drawn_BC])
        return self.ids[at_BL].astype(np.int64), self.are_answers[at_BL]

    def held_out(self, n_tokens: int) -> Iterator[Sequences]:
        """Yield every turn once, the longest first, as many at once as n_tokens hold with padding, or else one."""
        order_C = np.argsort(-self.lengths, kind="stable")
        first = 0
        while first < len(order_C):
            longest = int(self.lengths[order_C[first]])
            rows = order_C[first : first + max(n_tokens // longest, 1)]
            yield self._padded(rows, longest)
            first += len(rows)

    def prompt(self, turn: int) -> list[int]:
        """The beginning of a turn: user, question, assistant."""
        start = self.starts[turn]
        prompt: list[int] = self.ids[start : start + self.n_prompts[turn]].tolist()
        return prompt

    def _session(self, drawn_C: NDArray[np.int64], length: int) -> NDArray[np.int64]:
        """Indices of the tokens of a row, (length,)."""
        lengths_C = self.lengths[drawn_C]
        ends_C = np.cumsum(lengths_C)
        # a row's tokens count on from where their turn begins in the split, less where it begins in the row
        shifts_C = self.starts[drawn_C] - (ends_C - lengths_C)
        indices: NDArray[np.int64] = np.arange(length) + np.repeat(shifts_C, lengths_C)[:length]
        return indices

    def _padded(self, rows: NDArray[np.int64], length: int) -> Sequences:
        ids_BL = np.full((len(rows), length), self.padding, dtype=np.int64)
        answers_BL = np.zeros(ids_BL.shape, dtype=np.bool_)
        for at, row in enumerate(rows):
            start, n = self.starts[row], self.lengths[row]
            ids_BL[at, :n] = self.ids[start : start + n]
            answers_BL[at, :n] = self.are_answers[start : start + n]
        return ids_BL, answers_BL


def require_turns(split: TurnSplit, name: str, seq_len: int, label: str, remedy: str) -> None:
    """Raise DataError for a split without a turn, and for a train split whose every question fills a row of seq_len."""
    if not len(split):
        if name != "test":
            raise DataError(f"{label}: the {name} split has no question; {remedy}, or give more questions")
    elif name == "train" and (shortest := int(split.n_prompts.min())) > seq_len:
        where = split.wheres[int(split.n_prompts.argmin())]
        raise DataError(
            f"{label}: {where}: its question has {shortest} tokens with its markers, train.seq_len {seq_len} leaves no "
            f"room for an answer, and every other one is as long; raise train.seq_len to at least {shortest}"
        )


def left_out_note(split: TurnSplit, seq_len: int) -> str:
    """Say what of a train split no row of seq_len tokens teaches, in one line; '' where it teaches all.

    A turn whose question fills a row is left out of training; an answer that reaches beyond one is cut, and how it ends
    is not learnt. Both depend on nothing but the split and seq_len. Held-out turns are whole for every seq_len, so that
    the losses of a study's trials stay comparable.
    """
    left_out = np.flatnonzero(split.n_prompts > seq_len)
    n_cut = int((split.lengths > seq_len + 1).sum()) - len(left_out)
    parts = []
    if len(left_out):
        longest = left_out[np.argsort(-split.n_prompts[left_out], kind="stable")]
        names = ", ".join(f"{split.wheres[at]} ({split.n_prompts[at]} tokens)" for at in longest[:_NAMED])
        more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
        parts.append(
            f"{len(left_out):,} of {len(split):,} questions are left out of training, as they fill train.seq_len "
            f"{seq_len}: {names}{more}"
        )
    if n_cut:
        parts.append(
            f"{n_cut:,} of {len(split):,} answers are cut in training, as they reach beyond train.seq_len {seq_len}"
        )
    return "; ".join(parts)
