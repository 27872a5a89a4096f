"""Command lines that growlab suggests: each works when it is pasted into a shell."""

import shlex
from collections.abc import Sequence


def command(verb: str, *operands: object, options: Sequence[object] = ()) -> str:
    """Write `growlab VERB OPERANDS OPTIONS`, quoted for a shell; an operand such as -best stands behind a '--'.

    `options` are words: names, and the values of those that have one.
    """
    named, given = [str(operand) for operand in operands], [str(option) for option in options]
    rest = [*given, "--", *named] if any(operand.startswith("-") for operand in named) else [*named, *given]
    return shlex.join(["growlab", *verb.split(), *rest])
