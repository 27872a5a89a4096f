"""Command lines that growlab suggests: each works when it is pasted into a shell."""

import shlex
from collections.abc import Sequence

STORAGE_DEFAULT = "sqlite:///growlab.db"  # where a command looks that names no database


def command(verb: str, *operands: object, options: Sequence[object] = ()) -> str:
    """`growlab VERB OPERANDS OPTIONS`, quoted for a shell; an operand such as -best stands behind a '--'.

    `options` are words: names, and the values of those that have one.
    """
    said, given = [str(each) for each in operands], [str(each) for each in options]
    words = [*given, "--", *said] if any(each.startswith("-") for each in said) else [*said, *given]
    return shlex.join(["growlab", *verb.split(), *words])
