"""The validation passes of a run. On a CUDA device all batches are made of one shape, lie there, and share one recorded
forward pass: a small model's validation is thousands of launches, each of which takes longer than its kernel.

Legend: B windows, T tokens, N batches.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from growlab.data.batches import IGNORED, Batch, n_predicted, validation_batches
from growlab.data.corpus import Split
from growlab.data.tasks import TaskSplit
from growlab.data.turns import TurnSplit
from growlab.model.language_model import LanguageModel
from growlab.specs import TrainSpec
from growlab.training.device import autocast
from growlab.training.engine import Engine, GraphEngine, engine_beside
from growlab.training.evaluation import Evaluation, evaluate, measured, summed

MOST_TOKENS = 1 << 22  # of a split whose batches lie on the device, 64 MB of them


class Validation:
    """Makes validation passes of a run whose steps `engine` executes."""

    def __init__(self, ids: Split, train: TrainSpec, device: torch.device, engine: Engine) -> None:
        self._ids, self._train, self._device, self._engine = ids, train, device, engine
        self._recorded: RecordedPass | None = None

    def evaluate(self, model: LanguageModel) -> Evaluation:
        """Evaluate the model, always the same one until `forget`."""
        if isinstance(self._engine, GraphEngine) and _are_even(self._ids):
            if self._recorded is None:
                self._recorded = RecordedPass(model, self._ids, self._train, self._device, self._engine)
            return self._recorded.evaluate()
        train = self._train
        return evaluate(
            model,
            self._ids,
            seq_len=train.seq_len,
            batch_size=train.batch_size,
            precision=train.precision,
            device=self._device,
        )

    @property
    def held(self) -> int:
        """Bytes of the device that the recorded pass keeps to itself."""
        return self._recorded.held if self._recorded is not None else 0

    def forget(self) -> None:
        """Note that the model is about to become another one."""
        if self._recorded is not None:
            self._recorded.forget()
        self._recorded = None


class RecordedPass:
    """A validation pass over batches of one shape, which lie on the device; `engine` executes the steps between two."""

    def __init__(
        self, model: LanguageModel, ids: Split, train: TrainSpec, device: torch.device, engine: Engine
    ) -> None:
        self._model, self._precision, self._device = model, train.precision, device
        self._answers = isinstance(ids, TaskSplit)
        batches = list(even_batches(ids, train.seq_len, train.batch_size))
        self._counts = [n_predicted(y_BT) for _, y_BT in batches]
        self._batches = [(x_BT.to(device), y_BT.to(device)) for x_BT, y_BT in batches]
        self._row_2 = torch.zeros(2, device=device)
        self._engine = engine_beside(engine, self._measure, device)

    @property
    def held(self) -> int:
        return self._engine.held

    @torch.no_grad()
    def evaluate(self) -> Evaluation:
        was_training = self._model.training
        self._model.eval()
        rows = []
        for batch in self._batches:
            self._engine.step(batch)
            rows.append(self._row_2.clone())
        self._model.train(was_training)
        return summed(torch.stack(rows), self._counts, answers=self._answers)

    def forget(self) -> None:
        """Let go of the model and the batches; nothing is evaluated after this."""
        self._engine.forget()
        del self._engine, self._model, self._batches  # else they would go with the next full collection of garbage

    def _measure(self, x_BT: Tensor, y_BT: Tensor) -> None:
        with autocast(self._precision, self._device):
            self._row_2.copy_(measured(self._model(x_BT), y_BT, answers=self._answers))


def _are_even(ids: Split) -> bool:
    """Whether the batches of a split are of one shape, but for what the last of them lack, and few enough."""
    if isinstance(ids, TurnSplit):
        return False
    return isinstance(ids, TaskSplit) or ids.size <= MOST_TOKENS


def even_batches(ids: Split, seq_len: int, batch_size: int) -> Iterator[Batch]:
    """Validation batches, of which a short one is filled up: what is added predicts nothing.

    No token is changed by it: a causal model does not see what stands behind, and no window sees another one.
    """
    shape: tuple[int, ...] = ()
    for x_BT, y_BT in validation_batches(ids, seq_len, batch_size):
        shape = shape or tuple(x_BT.shape)
        yield _filled_up(x_BT, shape, 0), _filled_up(y_BT, shape, IGNORED)


def _filled_up(ids_BT: Tensor, shape: tuple[int, ...], value: int) -> Tensor:
    if ids_BT.shape == shape:
        return ids_BT
    filled_BT = torch.full(shape, value, dtype=ids_BT.dtype)
    filled_BT[: ids_BT.shape[0], : ids_BT.shape[1]] = ids_BT
    return filled_BT
