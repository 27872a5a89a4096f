"""The finished trials of a stored study as one of Optuna's."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from growlab.preparation.telling import Tell

if TYPE_CHECKING:
    import optuna

    from growlab.storage import Store, StudyRow


def read_optuna_study(
    store: "Store", row: "StudyRow", storage: str, plugins: Sequence[Path], tell: Tell
) -> "optuna.Study":
    """Read them into memory; trials from outside of the study's space are left out, which is told. Loads torch."""
    from growlab.plugins import load_plugins
    from growlab.preparation.layout_metrics import read_front
    from growlab.search.optuna.finished import optuna_study_of

    load_plugins(plugins)
    past = store.past_trials(row.id, row.study.metrics)
    if front := read_front(store, row, storage, plugins, tell):
        past = [replace(trial, metrics={**trial.metrics, **front.values.get(trial.number, {})}) for trial in past]
    found, outside = optuna_study_of(row.study, past)
    if outside:
        tell(f"left out, as their layouts are not of the study's space: trials {', '.join(map(str, outside))}")
    return found
