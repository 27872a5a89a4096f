"""How large the space of a study is, be it stored, in a file or shipped."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from growlab.preparation.sources import read_study, stored_study
from growlab.preparation.telling import Tell

if TYPE_CHECKING:
    from growlab.search.extent import Extent


def read_extent(
    name_or_file: str, overrides: Sequence[str], storage: str, plugins: Sequence[Path], tell: Tell
) -> "Extent":
    """Count and sample the space of a study. Raises UsageError, and DataError where its text is not found."""
    from growlab.data import load_corpus
    from growlab.kinds import KINDS
    from growlab.model.cost import Costs
    from growlab.preparation.checking import check
    from growlab.preparation.texts import with_found_texts
    from growlab.search.extent import extent_of

    stored = None if overrides else stored_study(name_or_file, storage)
    study = (
        with_found_texts(stored, storage, plugins, tell) if stored else read_study(name_or_file, overrides, "", plugins)
    )
    check(study, plugins)
    return extent_of(study, KINDS, Costs(load_corpus(study.data, study.curriculum).tokenizer.vocab_size))
