"""Block kinds, layouts, blocks alone or the first trials of a study, measured on one device."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from growlab.bench.block_rows import BlockReport
from growlab.bench.block_survey import BlockSizes, blocks_of, survey_blocks
from growlab.bench.rows import Report
from growlab.bench.sizes import usual_lengths, usual_sizes
from growlab.bench.subjects import Sizes, Subject, embedded_data, kind_subjects, layout_subjects, trial_subjects
from growlab.bench.survey import survey
from growlab.data import Corpus, load_corpus, require_windows
from growlab.plugins import load_plugins
from growlab.preparation.checking import prepare
from growlab.preparation.sources import read_study
from growlab.preparation.telling import Tell
from growlab.training.device import use_device


def bench_study(
    study: str,
    overrides: Sequence[str],
    n_trials: int,
    *,
    n_steps: int | None,
    n_rounds: int,
    device: str,
    threads: int,
    plugins: Sequence[Path],
    tell: Tell,
) -> Report:
    """Measure the first `n_trials` of those that `growlab study preview` shows, with an estimate of trials per hour.

    `n_steps` are timed in each of `n_rounds`; None takes the device's usual number.
    """
    where = _use(device, threads)
    checked, corpus = prepare(read_study(study, overrides, plugins=plugins), plugins, tell)
    return survey(
        trial_subjects(checked, corpus, n_trials),
        corpus,
        where,
        settings={"study": study},
        n_steps=usual_sizes(where.type)["steps"] if n_steps is None else n_steps,
        n_rounds=n_rounds,
        estimates_trials=True,
        tell=tell,
    )


def bench_layouts(
    layouts: Sequence[str],
    sizes: Mapping[str, int | None],
    *,
    n_steps: int | None,
    n_rounds: int,
    device: str,
    threads: int,
    plugins: Sequence[Path],
    tell: Tell,
) -> Report:
    """Measure models of these layouts, or without any a model of each block kind, on the embedded text.

    `sizes` are by the names of `Sizes`; one that is None is the device's usual one, and so is `n_steps`.
    """
    where = _use(device, threads)
    usual = usual_sizes(where.type)
    chosen = {name: usual[name] if value is None else value for name, value in sizes.items()}
    subjects, corpus = _on_embedded_text(layouts, Sizes(**chosen), plugins)
    return survey(
        subjects,
        corpus,
        where,
        settings=chosen,
        n_steps=usual["steps"] if n_steps is None else n_steps,
        n_rounds=n_rounds,
        estimates_trials=False,
        tell=tell,
    )


def bench_blocks(
    blocks: Sequence[str],
    sizes: Mapping[str, int | None],
    *,
    n_steps: int | None,
    n_rounds: int,
    device: str,
    threads: int,
    plugins: Sequence[Path],
    tell: Tell,
) -> BlockReport:
    """Measure both passes of blocks alone, of an example of each kind where one is 'all', at several lengths.

    `sizes` has d_model, batch_size and seq_len, the one length in place of several; None takes the device's usual.
    """
    where = _use(device, threads)
    usual, (lengths, n_tokens) = usual_sizes(where.type), usual_lengths(where.type)
    load_plugins(plugins)
    chosen = BlockSizes(
        d_model=sizes["d_model"] or usual["d_model"],
        lengths=(sizes["seq_len"],) if sizes["seq_len"] else lengths,
        n_tokens=n_tokens,
        batch_size=sizes["batch_size"],
    )
    return survey_blocks(
        blocks_of(blocks, chosen.d_model),
        chosen,
        where,
        settings={"d_model": chosen.d_model},
        n_steps=usual["steps"] if n_steps is None else n_steps,
        n_rounds=n_rounds,
        tell=tell,
    )


def _use(device: str, threads: int) -> torch.device:
    """Make the device ready, and torch to use `threads` of the CPU unless that is 0."""
    used = use_device(device)
    if threads:
        torch.set_num_threads(threads)
    return used


def _on_embedded_text(layouts: Sequence[str], sizes: Sizes, plugins: Sequence[Path]) -> tuple[list[Subject], Corpus]:
    load_plugins(plugins)
    subjects = layout_subjects(layouts, sizes) if layouts else kind_subjects(sizes)
    corpus = load_corpus(embedded_data())
    require_windows(corpus, sizes.seq_len)
    return subjects, corpus
