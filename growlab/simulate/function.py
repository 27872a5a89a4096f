"""Trainings that a Python function makes up, in place of a table.

    def objective(layout, params, seed):
        return {"val_loss": 2 - 0.1 * layout.count("attn"), "flops": 1e12, "elapsed_s": 60, "loss@0.25": 2.5}

It is given a trial's layout as complete text, its searched scalars by full name and its seed, and returns what the row
of a table would say (growlab.trainings).
"""

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from growlab.domains import Value
from growlab.errors import UsageError
from growlab.escapes import quoted
from growlab.records import TrialState
from growlab.simulate.table import Found
from growlab.simulate.table_file import Columns, training_of
from growlab.specs import TrialSpec
from growlab.study import Study


class Function:
    """Trainings by a function of a file."""

    def __init__(self, study: Study, file: Path, name: str) -> None:
        """Raises UsageError where the file has no such function, or fails."""
        self._study, self._named = study, f"{file}:{name}"
        if not file.is_file():
            raise UsageError(f"no file {quoted(str(file))}; give one with a function, as my.py:objective")
        try:
            defined = runpy.run_path(str(file))
        except Exception as error:
            raise UsageError(f"{file} cannot be run: {type(error).__name__}: {error}") from error
        if not callable(defined.get(name)):
            raise UsageError(f"{file} defines no function {name}")
        self._function: Callable[[str, dict[str, Value], int], Any] = defined[name]

    def find(self, spec: TrialSpec, params: Mapping[str, Value]) -> Found:
        where = f"{self._named}: "
        try:
            made = self._function(spec.layout, dict(params), spec.seed)
        except Exception as error:
            raise UsageError(f"{where}failed for {spec.layout}: {type(error).__name__}: {error}") from error
        if not isinstance(made, Mapping):
            raise UsageError(f"{where}must return a mapping of what a row would say, got {quoted(made)}")
        cells = {"layout": spec.layout} | {str(key): "" if value is None else str(value) for key, value in made.items()}
        if cells.get("state") not in (None, "", TrialState.COMPLETED):  # nobody asks what that would have come to
            cells = dict.fromkeys(self._study.metrics, "") | cells
        columns = Columns.of(list(cells), self._study, where)
        training = training_of(cells, columns, spec.layout, params, where)
        if not training.state.is_final:
            raise UsageError(f"{where}must say how a training ended, got state {training.state} for {spec.layout}")
        return Found(training, 0.0)
