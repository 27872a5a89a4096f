"""A study against kinds, operators and its corpus, before anything is spent."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from growlab.errors import UsageError
from growlab.preparation.beginning import with_beginning
from growlab.preparation.telling import Tell

if TYPE_CHECKING:
    from growlab.data import Corpus
    from growlab.specs import TrialSpec
    from growlab.study import Study

_SAMPLED = 10  # trials that tell how many steps a budget in FLOPs gives


def prepare(study: "Study", plugins: Sequence[Path], tell: Tell, *, warns: bool = True) -> "tuple[Study, Corpus]":
    """Check a study, write its corpus's hash into it, and return it with the corpus. Tells what to beware of.

    Without `warns` that is of the corpus alone, and nothing of `warnings_of`. Raises GrowlabError for what cannot be
    trained.
    """
    from growlab.data import load_corpus, recorded_curriculum, require_windows
    from growlab.preparation.corpus_notes import tell_of_corpus

    check(study, plugins)
    corpus = load_corpus(study.data, study.curriculum)  # refuses a text other than the one that data.sha256 names
    for seq_len in windows(study):
        require_windows(corpus, seq_len)
    if "bits_per_byte" in study.metrics and math.isnan(corpus.val_bytes_per_token):
        raise UsageError("metric bits_per_byte needs a tokenizer that knows its bytes; use val_loss")
    data = replace(
        study.data,
        sha256=corpus.sha256,
        val_sha256=corpus.val_sha256,
        tokenizer_sha256=corpus.tokenizer_sha256,
        dtype=corpus.dtype,
    )
    study = replace(study, data=data, curriculum=recorded_curriculum(study.curriculum, corpus))
    study = with_beginning(study, corpus, tell)
    sampled = _first_trials(study, corpus)
    for warning in _warnings(study, corpus, sampled) if warns else ():
        tell(f"warning: {warning}")
    tell_of_corpus(corpus, sampled[0], min(windows(study)), tell)
    return study, corpus


def warnings_of(study: "Study", corpus: "Corpus") -> list[str]:
    """What of a study can run on this corpus but will hardly be what was meant, a line each."""
    return _warnings(study, corpus, _first_trials(study, corpus))


def _first_trials(study: "Study", corpus: "Corpus") -> "list[TrialSpec]":
    """Trials that tell how many steps a budget in FLOPs gives, and whether a layout fits at all."""
    from growlab.kinds import KINDS
    from growlab.model.cost import Costs
    from growlab.search import check_limits, preview

    n = min(study.n_trials, _SAMPLED) if study.budget.unit == "flops" else 1
    costs = Costs(corpus.tokenizer.vocab_size)
    check_limits(study, KINDS, costs)
    proposed = preview(study, KINDS, costs, n=n)
    return [proposal.spec for proposal in proposed]


def _warnings(study: "Study", corpus: "Corpus", sampled: "Sequence[TrialSpec]") -> list[str]:
    from growlab.model.cost import expected_steps
    from growlab.search import warnings_for

    return warnings_for(study, n_steps=max(expected_steps(spec, corpus.tokenizer.vocab_size) for spec in sampled))


def check(study: "Study", plugins: Sequence[Path]) -> None:
    """Raise UsageError for a study that could propose what cannot run."""
    from growlab.data.sources import SOURCES, TaskSource
    from growlab.kinds import KINDS
    from growlab.plugins import load_plugins
    from growlab.search import check_space

    load_plugins(plugins)
    check_space(study, KINDS)
    if "accuracy" in study.metrics and not isinstance(SOURCES[study.data.source], TaskSource):
        source = study.data.source
        raise UsageError(
            f"metric accuracy is of a synthetic task's answers; data.source {source} has none; leave it out"
        )


def windows(study: "Study") -> list[int]:
    """List every train.seq_len that a trial of the study may have, or of a range its ends: the shortest first."""
    from growlab.domains import corners

    return sorted({int(value) for value in corners(study.train["seq_len"])})
