"""The formats of a program: how each is written, read back and used.

Legend: B batch, T tokens, V vocabulary.
"""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

Run = Callable[[Tensor], Tensor]  # ids (B, T) to logits (B, T, V)

INPUT, OUTPUT = "ids", "logits"
ONE_FILE = 1_900_000_000  # bytes of weights; above, ONNX's 2 GB for a file are not enough and they go beside it

_LOAD_PT2 = """\
import torch

model = torch.export.load("model.pt2").module()
logits = model(torch.tensor([[0, 1, 2]]))  # of shape (1, 3, vocabulary)"""
_LOAD_ONNX = """\
import numpy as np
import onnxruntime

model = onnxruntime.InferenceSession("model.onnx")
[logits] = model.run(None, {"ids": np.array([[0, 1, 2]])})  # of shape (1, 3, vocabulary)"""
_WRITE = """\

from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file("tokenizer.json")
ids = tokenizer.encode({prompt}).ids
for _ in range(100):  # each token reads all before it again: a program carries no state
{next_token}
print(tokenizer.decode(ids))"""


@dataclass(frozen=True, kw_only=True)
class Format:
    """One of them. What is written reads ids, int64 of shape (B, T), and gives logits, fp32 of shape (B, T, V)."""

    word: str  # after --to
    name: str  # for people
    runtime: str  # the library that runs it
    file: str
    write: Callable[[ExportedProgram, Path], None]
    load: Callable[[Path], Run]
    example: str  # how it is loaded and run
    next_token: str  # how text is written with it


def write_pt2(program: ExportedProgram, path: Path) -> None:
    with _quiet():
        torch.export.save(program, path)


def load_pt2(path: Path) -> Run:
    with _quiet():
        model: Run = torch.export.load(path).module()
    return model


def write_onnx(program: ExportedProgram, path: Path) -> None:
    """Translate a program and write it; its weights lie beside it, in model.onnx.data, where one file cannot hold them.

    Raises what torch's exporter raises for an operator that ONNX has not.
    """
    n_bytes = sum(tensor.nbytes for tensor in program.state_dict.values())
    with _quiet(), torch.no_grad():  # with gradients a loop would keep what they need
        onnx = torch.onnx.export(program, (), dynamo=True, verbose=False, input_names=[INPUT], output_names=[OUTPUT])
        assert onnx is not None
        onnx.save(path, external_data=n_bytes > ONE_FILE)


def load_onnx(path: Path) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # of errors: it tells of constants that it does away with
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda ids_BT: torch.from_numpy(session.run([OUTPUT], {INPUT: ids_BT.numpy()})[0])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what torch has to say of its own parts from the user: it warns where nothing is wrong."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


FORMATS = {
    each.word: each
    for each in (
        Format(
            word="onnx",
            name="ONNX",
            runtime="onnx",
            file="model.onnx",
            write=write_onnx,
            load=load_onnx,
            example=_LOAD_ONNX,
            next_token="""\
    [logits] = model.run(None, {"ids": np.array([ids])})
    weights = np.exp(logits[0, -1].astype("f8"))
    ids.append(int(np.random.choice(len(weights), p=weights / weights.sum())))""",
        ),
        Format(
            word="torch-export",
            name="torch.export",
            runtime="torch",
            file="model.pt2",
            write=write_pt2,
            load=load_pt2,
            example=_LOAD_PT2,
            next_token="""\
    weights = model(torch.tensor([ids]))[0, -1].detach().softmax(-1)
    ids.append(int(torch.multinomial(weights, 1)))""",
        ),
    )
}


def usage(format: Format, *, prompt: str) -> str:
    """The lines of Python that run a program, and go on from a prompt with it; '' where nothing is to be written."""
    return format.example + (_WRITE.format(prompt=repr(prompt), next_token=format.next_token) if prompt else "")
