"""Long words are folded where they can be read on; what a table needs is known without drawing it."""

import random

import pytest
from rich.console import Console
from rich.measure import Measurement

from growlab.report.terminal import PIPE_WIDTH, folded
from growlab.report.terminal_table import TableColumn, room_beside, table_of


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("d=64 conv mlp", 20, ["d=64 conv mlp"]),
        ("d=64 conv mlp[expand=4.0]", 20, ["d=64 conv", "mlp[expand=4.0]"]),
        ("d=64 attn[n_heads=2,qk_norm=true] mlp", 20, ["d=64 attn[n_heads=2,", "qk_norm=true] mlp"]),
        ("d=64 attn[n=2]", 4, ["d=64", "attn", "[", "n=2]"]),
        ("a\x1b b", 3, ["a␛", "b"]),
    ],
)
def test_lines_end_at_blanks_and_in_long_words_behind_commas_and_brackets(text, width, lines):
    assert folded(text, width, 4).split("\n") == lines


def test_what_has_no_room_in_the_lines_is_an_ellipsis():
    assert folded("one two three", 5, 2) == "one\ntwo…"


@pytest.mark.parametrize("seed", range(40))
def test_the_room_beside_a_table_is_what_rich_measures(seed):
    rng = random.Random(seed)
    words = ["", "a", "attn[n_heads=4]", "35 min 00 s", "x" * 40, "词元", "\x1b[31m"]
    rows = [[" ".join(rng.choices(words, k=rng.randrange(4))) for _ in range(5)] for _ in range(rng.randrange(6))]
    headers = rng.choices(["h", "two words", "header"], k=5)
    columns = [
        TableColumn[list[str]](header, lambda row, at=at: row[at], folds=rng.random() < 0.3)
        for at, header in enumerate(headers[: rng.randrange(1, 6)])
    ]
    console = Console(width=rng.randrange(20, 120))

    table = table_of(rows, columns, folded_width=rng.randrange(1, 30), gap=rng.choice([1, 2]))

    measured = Measurement.get(console, console.options.update(width=PIPE_WIDTH), table)
    assert room_beside(table, console) == console.width - measured.minimum
