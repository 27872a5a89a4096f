"""From a text to a study file that runs on this machine in minutes."""

import os
import re
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from growlab.data import Corpus, load_corpus
from growlab.data.tasks import TaskSplit
from growlab.errors import GrowlabError, UsageError
from growlab.files import resolved, write_atomically
from growlab.first_study.machine import Machine, measure_pace, this_machine
from growlab.first_study.page import in_words, study_page
from growlab.first_study.plan import Plan, make_plan
from growlab.first_study.text import TextFacts, look_at
from growlab.preparation.telling import Tell
from growlab.scalar import with_defaults
from growlab.specs import DataSpec
from growlab.study.reading import study_from_mapping
from growlab.suggest import command
from growlab.yaml_file import parse_yaml

_MOST_CHARACTERS = 512  # different ones, of a vocabulary of characters
_PIECES = 2048  # tokens of a vocabulary that is learnt


@dataclass(frozen=True, kw_only=True)
class FirstStudy:
    """A study file that was written, and what it was made of."""

    path: Path
    name: str
    facts: TextFacts
    machine: Machine
    plan: Plan
    run: str  # the command that runs it


def begin_study(
    text: str, target: Path | None, *, minutes: float, device: str, name: str, force: bool, tell: Tell
) -> FirstStudy:
    """Look at a text and at this machine, and write a study of it that is done in about so many minutes.

    `target` is the file, by default NAME.yaml in this folder. Raises UsageError for a file that is there unless
    `force`d, DataError for a text that cannot be trained on, GrowlabError for a folder that cannot be written into.
    """
    name = name or name_of(text)
    target = target or Path(f"{name}.yaml")
    _refuse_taken(target, force)
    facts = look_at(text)
    machine = this_machine(device)
    data = _data_for(facts)
    corpus = load_corpus(replace(data, path=str(resolved(Path(text)))))
    plan = make_plan(
        n_tokens=_n_tokens(corpus),
        vocab_size=corpus.tokenizer.vocab_size,
        data=data,
        minutes=minutes,
        n_workers=machine.n_workers,
        on_gpu=machine.device.type != "cpu",
        time=lambda spec: measure_pace(spec, corpus, machine),
    )
    for line in in_words(facts, machine, plan):
        tell(line)
    workers = ["--workers", machine.n_workers] if machine.n_workers > 1 else []
    run = command("study run", target, options=workers)
    written = replace(data, path=_from_folder(Path(text), target))
    page = study_page(name, facts, written, plan, machine, str(target), run)
    study_from_mapping(parse_yaml(page))  # a name that no study can have is refused before anything is written
    _write(target, page)
    return FirstStudy(path=target, name=name, facts=facts, machine=machine, plan=plan, run=run)


def name_of(text: str) -> str:
    """Name a study by its text: letters, digits, '.', '_' and '-'."""
    stem = resolved(Path(text)).name.rpartition(".")[0] or resolved(Path(text)).name
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-._")[:60] or "my-study"


def _data_for(facts: TextFacts) -> DataSpec:
    """The text with the tokenizer that suits its alphabet: characters while they are few, else pieces, else bytes."""
    if len(facts.alphabet) <= _MOST_CHARACTERS:
        how: dict[str, Any] = {"tokenizer": "char"}
    elif find_spec("tokenizers"):
        how = {"tokenizer": "bpe", "vocab_size": _PIECES}
    else:
        how = {"tokenizer": "byte"}
    return with_defaults(DataSpec, source="text", path=facts.path, **how)


def _n_tokens(corpus: Corpus) -> int:
    """Count the tokens of the training part, of which val takes its share."""
    assert not isinstance(corpus.train, TaskSplit)
    assert not isinstance(corpus.val, TaskSplit)
    return corpus.train.size + corpus.val.size


def _from_folder(text: Path, target: Path) -> str:
    """The path of the text as the study file names it: from its own folder where the text lies in or below that."""
    whole, folder = resolved(text), resolved(target).parent
    return os.path.relpath(whole, folder) if whole.is_relative_to(folder) and whole != folder else str(whole)


def _refuse_taken(target: Path, force: bool) -> None:
    if target.is_dir():
        raise UsageError(f"{target} is a folder; name a file with -o, such as {target / 'study.yaml'}")
    if os.path.lexists(target) and not force:
        raise UsageError(f"{target} exists; --force overwrites it, and -o FILE names another")


def _write(target: Path, page: str) -> None:
    try:
        write_atomically(target, page.encode())
    except OSError as error:
        raise GrowlabError(f"{target} cannot be written: {error.strerror}; name another with -o FILE") from None
