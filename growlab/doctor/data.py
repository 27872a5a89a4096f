"""Corpora: those that have a name, and the one of a study."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from growlab.doctor.findings import Finding, guarded
from growlab.preparation.telling import Tell

if TYPE_CHECKING:
    from growlab.data import Corpus
    from growlab.study import Study


def check_stdlib() -> Iterator[Finding]:
    from growlab.data.stdlib import stdlib_has_prose, stdlib_is_kept

    if stdlib_is_kept():
        yield Finding("data", "stdlib", "ok", "in the cache")
    elif stdlib_has_prose():
        yield Finding("data", "stdlib", "ok", "built in some seconds at first use")
    else:
        found = "this Python was installed without the sources of its library"
        yield Finding("data", "stdlib", "warning", found, "use data.source: text with a file of yours")


def check_tiny_shakespeare() -> Iterator[Finding]:
    from growlab.data.download import TINY_SHAKESPEARE as PLAY

    if PLAY.is_kept():
        yield Finding("data", PLAY.name, "ok", "in the cache")
    elif PLAY.path.exists():
        found = f"{PLAY.path} is damaged; it will be fetched again"
        yield Finding("data", PLAY.name, "warning", found, f"offline: {PLAY.remedy()}")
    else:
        found = "not in the cache; it is fetched at first use"
        yield Finding("data", PLAY.name, "warning", found, f"offline: {PLAY.remedy()}")


def check_study(name_or_file: str, storage: str, tell: Tell) -> Iterator[Finding]:
    """Load a study's corpus as a worker would, the cache included. Plugins are loaded before."""
    from growlab.data import load_corpus

    study = _study(name_or_file, storage, tell)
    data = study.data
    corpus = load_corpus(data, study.curriculum)
    sha256 = f"sha256 {corpus.sha256[:12]}…"
    recorded = f"the recorded one, {sha256}" if data.sha256 else f"{sha256}, recorded when the study is created"
    yield Finding("study", "corpus", "ok", f"{study.name}: {f'{data.source} {data.path}'.strip()}, {recorded}")
    yield Finding("study", "tokens", "ok", f"{_sizes(corpus)}; vocabulary of {corpus.tokenizer.vocab_size:,}")
    yield from guarded("study", "windows", _windows(study, corpus))
    yield from _left_out(study, corpus)


def _windows(study: "Study", corpus: "Corpus") -> Iterator[Finding]:
    from growlab.data import require_windows
    from growlab.preparation.checking import windows

    for seq_len in windows(study):
        require_windows(corpus, seq_len)
    yield Finding("study", "windows", "ok", f"train.seq_len {seq_len} fits into each split")


def _left_out(study: "Study", corpus: "Corpus") -> Iterator[Finding]:
    from growlab.preparation.checking import windows
    from growlab.preparation.corpus_notes import left_out_notes

    for note in left_out_notes(corpus, windows(study)[0]):
        found, _, advice = note.partition("; ")
        yield Finding("study", "left out", "warning", found, advice)


def _study(name_or_file: str, storage: str, tell: Tell) -> "Study":
    """Read the study that `growlab study run` would take. Without a database it is a file or one that growlab ships."""
    from growlab.errors import StorageError
    from growlab.preparation.sources import is_new, is_stored, read_study
    from growlab.preparation.texts import with_found_texts
    from growlab.storage import Store

    try:
        with Store.open(storage) as store:
            if is_stored(name_or_file, [summary.name for summary in store.studies()]):
                return with_found_texts(store.study(name_or_file).study, storage, [], tell)
    except StorageError:
        if not is_new(name_or_file):
            raise
    return read_study(name_or_file, [])


def _sizes(corpus: "Corpus") -> str:
    from growlab.data.tasks import TaskSplit

    splits = {"train": corpus.train, "val": corpus.val, "test": corpus.test}
    sizes = [f"{name} {split.size:,}" for name, split in splits.items() if not isinstance(split, TaskSplit)]
    stages = [
        f"curriculum[{at}] {stage.train.size:,}"
        for at, stage in enumerate(corpus.stages)
        if stage.sha256 and not isinstance(stage.train, TaskSplit)
    ]
    return ", ".join([*sizes, *stages]) or "made from a seed, without end"
