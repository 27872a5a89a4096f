"""A study as it is to be simulated, be it stored, in a file or shipped, and the vocabulary of its text."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from growlab.errors import UsageError
from growlab.preparation.sources import read_study, stored_study
from growlab.preparation.telling import Tell

if TYPE_CHECKING:
    from growlab.study import Study


def read_simulated(
    name_or_file: str,
    overrides: Sequence[str],
    storage: str,
    plugins: Sequence[Path],
    vocab_size: int,
    tell: Tell,
) -> "tuple[Study, int]":
    """Read a study, changed as `overrides` say, and check it; with a `vocab_size` of 0 its text is read for that.

    A stored one may be changed too, as nothing of it is stored. Raises UsageError for what cannot be proposed.
    """
    from growlab.data import load_corpus
    from growlab.kinds import KINDS
    from growlab.model.cost import Costs
    from growlab.plugins import load_plugins
    from growlab.preparation.checking import check
    from growlab.preparation.texts import with_found_texts
    from growlab.search import check_limits

    load_plugins(plugins)
    stored = stored_study(name_or_file, storage)
    study = _changed(stored, overrides) if stored else read_study(name_or_file, overrides, "", plugins)
    check(study, plugins)
    if vocab_size < 0:
        raise UsageError(f"--vocab-size must be at least 1, got {vocab_size}")
    if not vocab_size:
        here = with_found_texts(study, storage, plugins, tell) if stored else study
        vocab_size = load_corpus(here.data, here.curriculum).tokenizer.vocab_size
    check_limits(study, KINDS, Costs(vocab_size))
    return study, vocab_size


def _changed(stored: "Study", overrides: Sequence[str]) -> "Study":
    """A stored study as a file of it would be with these changes; what it took over of another one stays with it."""
    from growlab.study.column import study_to_mapping
    from growlab.study.overrides import apply_overrides
    from growlab.study.reading import study_from_mapping

    if not overrides:
        return stored
    mapping = study_to_mapping(stored)
    mapping["sampler"].pop("transferred", None)
    apply_overrides(mapping, overrides)
    study = study_from_mapping(mapping)
    if study.sampler.transfer_from != stored.sampler.transfer_from:
        return study
    return replace(study, sampler=replace(study.sampler, transferred=stored.sampler.transferred))
