"""growlab chat"""

import io
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from growlab.commands.options import (
    Device,
    Exported,
    HardExit,
    Json,
    Plugin,
    RepetitionPenalty,
    Seed,
    Stop,
    Temperature,
    TopK,
    TopP,
    say,
    show,
)
from growlab.errors import CannotEncode
from growlab.escapes import json_text

if TYPE_CHECKING:
    from growlab.model.conversation import Conversation

RESET, QUIT = "/reset", "/quit"


def chat(
    folder: Exported,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of one answer, at most.")] = 500,
    temperature: Temperature = 0.6,
    top_k: TopK = 0,
    top_p: TopP = 1.0,
    repetition_penalty: RepetitionPenalty = 1.0,
    stop: Stop = None,
    seed: Seed = 0,
    hard_exit: HardExit = False,
    as_json: Json = False,
    device: Device = "auto",
    plugin: Plugin = None,
) -> None:
    """Talk to an exported model that was trained on questions and answers (data.source: qa).

    A line is a question; /reset begins a new session, /quit or the end of the input leaves. In a pipe answers alone
    are printed, one a line unless they have lines of their own; with --json an object a line.
    """
    from growlab.export.load import converse, ready_bundle
    from growlab.model.decoding import Sampling
    from growlab.model.streaming import require_stops

    stops = stop or []
    require_stops(stops)
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p, repetition_penalty=repetition_penalty)
    bundle = ready_bundle(folder, device, plugins=plugin or [], hard_exit=hard_exit)
    conversation = converse(bundle, folder, sampling, seed)
    for number, line in enumerate(_lines(), 1):
        if line == QUIT:
            return
        if line == RESET:
            conversation.reset()
        elif line:
            _answer(conversation, line, number, max_tokens, stops, as_json)


def _answer(
    conversation: "Conversation", question: str, number: int, max_tokens: int, stops: list[str], as_json: bool
) -> None:
    """Print the answer. Raises CannotEncode in a pipe; at a terminal the person may ask otherwise."""
    try:
        _require_text(question)
        pieces = conversation.answer(question, max_tokens, stops)
    except CannotEncode as error:
        if not sys.stdin.isatty():
            raise CannotEncode(f"line {number}: {error}") from None
        say(f"error: {error}")
        return
    if as_json:
        row = {"question": question, "answer": "".join(pieces), "ended": conversation.ended}
        pieces = iter([json_text(row)])
    for piece in pieces:
        show(piece)
    show("\n")


def _lines() -> Iterator[str]:
    """Read what is typed, line by line, without its end; the mark of a file that comes by a pipe is no text.

    Bytes that are not UTF-8 are left in, for `_require_text`.
    """
    if sys.stdin is None:  # closed, as by <&-
        return
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")
    at_terminal, mark = sys.stdin.isatty(), "\ufeff"
    if at_terminal:
        say(f"a question a line; {RESET} begins a new session, {QUIT} or Ctrl-D leaves")
    while True:
        if at_terminal:
            sys.stderr.write("> ")
            sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            break
        yield line.removeprefix(mark).rstrip("\r\n")
        mark = ""  # later it is a character like others
    if at_terminal:
        say("")


def _require_text(line: str) -> None:
    """Raise CannotEncode for bytes that are not UTF-8, or that no text has."""
    from growlab.data.text_files import why_binary, why_not_utf8

    content = line.encode(errors="surrogateescape")
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise CannotEncode(why_not_utf8(error)) from None
    if 0 in content:
        raise CannotEncode(why_binary(content))
