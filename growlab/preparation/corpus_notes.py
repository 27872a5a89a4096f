"""What a study is told about its corpus before anything is spent: what is not read, and how often the rest is."""

from pathlib import Path
from typing import TYPE_CHECKING

from growlab.preparation.telling import Tell

if TYPE_CHECKING:
    from growlab.data import Corpus
    from growlab.data.readings import Reading
    from growlab.specs import TrialSpec


def left_out_notes(corpus: "Corpus", shortest_window: int) -> list[str]:
    """Note what of the corpus no trial, or not every one, trains on: a line each."""
    from growlab.data.turns import TurnSplit, left_out_note

    unlearnt = left_out_note(corpus.train, shortest_window) if isinstance(corpus.train, TurnSplit) else ""
    return [*corpus.notes, *([f"{corpus.label}: {unlearnt}"] if unlearnt else [])]


def tell_of_corpus(corpus: "Corpus", first: "TrialSpec", shortest_window: int, tell: Tell) -> None:
    """Tell what is not read, and how often the study's first trial, whose spec is `first`, reads the rest."""
    from growlab.data.readings import OFTEN, readings
    from growlab.model.cost import expected_steps

    for note in left_out_notes(corpus, shortest_window):
        tell(f"note: {note}")
    found = readings(corpus, first, expected_steps(first, corpus.tokenizer.vocab_size))
    if seldom := [reading for reading in found if reading.times <= OFTEN]:
        tell(f"note: the first trial reads {', '.join(map(_described, seldom))}")
    for reading in found:
        if reading.times > OFTEN:
            less = "the budget" if reading.stage is None else "the budget or the stage's share of it"
            tell(
                f"warning: the first trial reads {_described(reading)}: what is read more than {OFTEN} times tends to "
                f"be learnt by heart, and val_loss to rise; give more text, or lower {less}"
            )


def _described(reading: "Reading") -> str:
    times = f"{reading.times:,.0f}" if reading.times >= 10 else f"{reading.times:.2g}"
    stage = "" if reading.stage is None else f"curriculum[{reading.stage}] "
    return f"{stage}{Path(reading.label).name or reading.label} {times} times"
