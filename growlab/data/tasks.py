"""Synthetic tasks: sequences made from a seed, of which only the answers count.

    recall    k1 v1 k2 v2 k3 v3 . . k2 v2 . . . . k3 v3 k1 v1 .      the answers are the v of the second half
    copying   . . a . . . b . c . . . | a b c                        the symbols after the bar
    needle    x y x ! k v y y x z ! q w x y ? k v                    the last one

Training sequences are a function of (seed, step); those of val and test are the same for all trials. The three
draw from streams that never meet, so one is in two of them only where a task has so few sequences that chance
repeats them. Legend: B sequences, L tokens, N items.

Sources: Arora et al. 2023, "Zoology" (recall); Gu and Dao 2023, "Mamba" (selective copying).
"""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from growlab.errors import SpecError

N_HELD_OUT = 256  # sequences of val, and of test
_LARGEST = 2**17  # ids, and tokens of the shortest sequence: what is held out is drawn from tables of that width

Sequences = tuple[NDArray[np.int64], NDArray[np.bool_]]  # ids (B, L); which of them are answers (B, L)


class Stream(IntEnum):
    """Streams of random numbers that have nothing in common, whatever their seeds and steps."""

    TRAIN = 1
    VAL = 2
    TEST = 3


class Draws:
    """Random numbers that are a function of the arguments alone. Raw bits, as numpy promises their stream for ever."""

    def __init__(self, stream: Stream, seed: int, step: int) -> None:
        key = np.array([seed % 2**64, step % 2**64], dtype=np.uint64)
        counter = np.array([0, 0, 0, stream], dtype=np.uint64)  # 0 is that of growlab.data.batches
        self._bits = np.random.Philox(key=key, counter=counter)

    def below(self, n: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
        """Draw numbers uniform on [0, n), to n / 2**64."""
        return (self._bits.random_raw(shape) % np.uint64(n)).astype(np.int64)

    def some_of(self, n: int, n_rows: int, n_drawn: int) -> NDArray[np.int64]:
        """Draw rows of different numbers from [0, n) in random order: (n_rows, n_drawn)."""
        return np.argsort(self._bits.random_raw((n_rows, n)), axis=1, kind="stable")[:, :n_drawn]


@dataclass(frozen=True)
class Task(ABC):
    vocab_size: int
    n_items: int

    def __post_init__(self) -> None:
        if self.n_items < 1:
            raise SpecError(f"a synthetic task needs data.n_items of at least 1, got {self.n_items}")
        if self.shortest > _LARGEST:
            raise SpecError(
                f"data.n_items {self.n_items} of this task needs sequences of {self.shortest} tokens, "
                f"at most {_LARGEST} fit; lower data.n_items"
            )
        if self.vocab_size > _LARGEST:
            raise SpecError(f"a synthetic task takes data.vocab_size of at most {_LARGEST}, got {self.vocab_size}")
        if self.vocab_size < self.smallest_vocab:
            raise SpecError(
                f"data.n_items {self.n_items} of this task needs data.vocab_size of at least {self.smallest_vocab}, "
                f"got {self.vocab_size}"
            )

    @property
    @abstractmethod
    def smallest_vocab(self) -> int: ...

    @property
    @abstractmethod
    def shortest(self) -> int:
        """The number of tokens of the shortest sequence that holds all items and their answers."""

    @property
    @abstractmethod
    def n_values(self) -> int:
        """The number of ids that an answer may be."""

    @abstractmethod
    def sequences(self, draws: Draws, n_sequences: int, length: int) -> Sequences:
        """Make sequences with at least one answer in each, the same number in all, none at the beginning."""


class Recall(Task):
    """A task of N pairs of a key and its value, then each key once more at a random index, followed by its value.

    Ids: 0 blank, then the keys, then as many values or one more. A guess among all values costs ln(values), one
    among those of the pairs about ln(N). Other than in Zoology values may be equal, a question is anywhere with
    the same chance (there a power law of the distance), nothing random fills the gaps, and the value is written
    after its question, as in a text.
    """

    @property
    def smallest_vocab(self) -> int:
        return max(2 * self.n_items + 1, 4)

    @property
    def shortest(self) -> int:
        return 4 * self.n_items

    @property
    def n_values(self) -> int:
        return self.vocab_size - 1 - (self.vocab_size - 1) // 2

    def sequences(self, draws: Draws, n_sequences: int, length: int) -> Sequences:
        n_keys, n_pair_tokens = (self.vocab_size - 1) // 2, 2 * self.n_items
        keys_BN = 1 + draws.some_of(n_keys, n_sequences, self.n_items)
        values_BN = 1 + n_keys + draws.below(self.vocab_size - 1 - n_keys, keys_BN.shape)
        n_slots = (length - n_pair_tokens) // 2
        asked_BN = n_pair_tokens + 2 * draws.some_of(n_slots, n_sequences, self.n_items)
        ids_BL = np.zeros((n_sequences, length), dtype=np.int64)
        ids_BL[:, 0:n_pair_tokens:2], ids_BL[:, 1:n_pair_tokens:2] = keys_BN, values_BN
        np.put_along_axis(ids_BL, asked_BN, keys_BN, axis=1)
        np.put_along_axis(ids_BL, asked_BN + 1, values_BN, axis=1)
        answers_BL = np.zeros(ids_BL.shape, dtype=np.bool_)
        np.put_along_axis(answers_BL, asked_BN + 1, True, axis=1)
        return ids_BL, answers_BL


class Copying(Task):
    """A task of N symbols at random indices among blanks, a bar, the symbols again.

    Ids: 0 blank, 1 bar, then the symbols.

    As in a text, each symbol is seen when the next is asked for.
    """

    @property
    def smallest_vocab(self) -> int:
        return 4

    @property
    def shortest(self) -> int:
        return 2 * self.n_items + 1

    @property
    def n_values(self) -> int:
        return self.vocab_size - 2

    def sequences(self, draws: Draws, n_sequences: int, length: int) -> Sequences:
        bar = length - self.n_items - 1
        indices_BN = np.sort(draws.some_of(bar, n_sequences, self.n_items), axis=1)
        symbols_BN = 2 + draws.below(self.vocab_size - 2, indices_BN.shape)
        ids_BL = np.zeros((n_sequences, length), dtype=np.int64)
        np.put_along_axis(ids_BL, indices_BN, symbols_BN, axis=1)
        ids_BL[:, bar] = 1
        ids_BL[:, bar + 1 :] = symbols_BN
        answers_BL = np.zeros(ids_BL.shape, dtype=np.bool_)
        answers_BL[:, bar + 1 :] = True
        return ids_BL, answers_BL


class Needle(Task):
    """A task of N needles (a mark, a key, its value) anywhere in random symbols; at the end a question for one of them.

    Ids: 0 mark, 1 question, then the keys, then as many values or one more; the hay is keys and values too.
    """

    @property
    def smallest_vocab(self) -> int:
        return max(2 * self.n_items + 2, 5)

    @property
    def shortest(self) -> int:
        return 3 * self.n_items + 3

    @property
    def n_values(self) -> int:
        return self.vocab_size - 2 - (self.vocab_size - 2) // 2

    def sequences(self, draws: Draws, n_sequences: int, length: int) -> Sequences:
        n_keys, n_hay = (self.vocab_size - 2) // 2, length - 3
        keys_BN = 2 + draws.some_of(n_keys, n_sequences, self.n_items)
        values_BN = 2 + n_keys + draws.below(self.vocab_size - 2 - n_keys, keys_BN.shape)
        # indices among what remains when each needle is one token; then each pushes the later ones on by two
        indices_BN = np.sort(draws.some_of(n_hay - 2 * self.n_items, n_sequences, self.n_items), axis=1)
        indices_BN += 2 * np.arange(self.n_items)
        ids_BL = 2 + draws.below(self.vocab_size - 2, (n_sequences, length))
        for at, tokens in enumerate((np.zeros_like(keys_BN), keys_BN, values_BN)):
            np.put_along_axis(ids_BL, indices_BN + at, tokens, axis=1)
        asked_B1 = draws.below(self.n_items, (n_sequences, 1))
        ids_BL[:, -3] = 1
        ids_BL[:, -2:-1] = np.take_along_axis(keys_BN, asked_B1, axis=1)
        ids_BL[:, -1:] = np.take_along_axis(values_BN, asked_B1, axis=1)
        answers_BL = np.zeros(ids_BL.shape, dtype=np.bool_)
        answers_BL[:, -1] = True
        return ids_BL, answers_BL


@dataclass(frozen=True)
class TaskSplit:
    """A split that is made as it is read: without end for training, N_HELD_OUT sequences otherwise."""

    task: Task
    stream: Stream

    def training(self, n_sequences: int, length: int, seed: int, step: int) -> Sequences:
        return self.task.sequences(Draws(self.stream, seed, step), n_sequences, length)

    def held_out(self, length: int) -> Sequences:
        return self.task.sequences(Draws(self.stream, 0, 0), N_HELD_OUT, length)

    def __getitem__(self, at: slice) -> NDArray[np.int64]:
        """Take tokens of the first held-out sequence, as short as it may be: something to show or to go on from."""
        ids_BL, _ = self.held_out(self.task.shortest)
        return ids_BL[0, at]


def sha256_of_task(name: str, task: Task) -> str:
    """Hash a task's parameters and sequences that it makes: another recipe under the same name is another task."""
    digest = hashlib.sha256(f"{name} {task.vocab_size} {task.n_items}".encode())
    for stream in Stream:
        ids_BL, answers_BL = TaskSplit(task, stream).held_out(task.shortest + 8)
        digest.update(ids_BL.astype("<i8").tobytes() + answers_BL.tobytes())
    return digest.hexdigest()
