"""A stored study by its tables, each read when it is first asked for."""

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from growlab.defaults import USUAL_MARGIN
from growlab.frames import reading
from growlab.preparation.fronts import Front
from growlab.preparation.layout_metrics import read_front
from growlab.preparation.telling import Tell
from growlab.records import Spent
from growlab.report.failures import Failure, failures_of
from growlab.report.groups import Groups, read_groups
from growlab.report.title import read_title
from growlab.storage import Store
from growlab.study import Study

if TYPE_CHECKING:
    import pandas as pd

    from growlab.search.model.explaining import Why

T = TypeVar("T")


class StudyTables:
    """What is stored of a study, as it was when it was first asked for: `refresh()` lets all be read again.

    The columns of each frame are in growlab.frames.columns; trials are told by their numbers. What cannot be read is a
    StorageError.
    """

    def __init__(self, storage: str, name: str, *, plugins: Sequence[Path] = (), tell: Tell = print) -> None:
        """Find the study. Raises NotFound with the known ones, StorageError where there is no database."""
        self._storage, self._plugins, self._tell = storage, tuple(plugins), tell
        self._kept: dict[object, object] = {}
        with closing(Store.open(storage)) as store:
            self._row = store.study(name)
        self.name = name

    @property
    def study(self) -> Study:
        """What was asked: data, layouts, ranges, budget."""
        return self._row.study

    def refresh(self) -> None:
        """Forget what was read; the next question goes to the database."""
        self._kept.clear()

    # ---- tables --------------------------------------------------------------------------------------------------

    def trials(self) -> "pd.DataFrame":
        """One row per trial, by number; after the documented columns those of objectives and searched scalars."""
        return self._frame("trials", lambda store: reading.read_trials(store, self._row, self.front))

    def metrics(self, *names: str, split: str = "") -> "pd.DataFrame":
        """One row per metric and step: of all names, or of those given; of all splits, or of train, val or test."""
        asked = ("metrics", *sorted(names), split)
        return self._frame(asked, lambda store: reading.read_metrics(store, self._row, names, split))

    def trajectory(self, tensor: str | None = "") -> "pd.DataFrame":
        """One row per trial, step and unit: the means over a unit's tensors; of one tensor; or with None of each."""
        return self._frame(("trajectory", tensor), lambda store: reading.read_trajectory(store, self._row, tensor))

    def growth_events(self) -> "pd.DataFrame":
        """One row per unit that entered a model."""
        return self._frame("growth_events", lambda store: reading.read_growth_events(store, self._row))

    def decisions(self) -> "pd.DataFrame":
        """One row per proposal, by trial, then one per promotion at a rung."""
        return self._frame("decisions", lambda store: reading.read_decisions(store, self._row))

    def readings(self) -> "pd.DataFrame":
        """One row per trial and rung that it came to; none of a study without rungs."""
        return self._frame("readings", lambda store: reading.read_readings(store, self._row))

    def attempts(self) -> "pd.DataFrame":
        """One row per attempt of a worker at a trial, in the order in which they began."""
        return self._frame("attempts", lambda store: reading.read_attempts(store, self._row))

    def workers(self) -> "pd.DataFrame":
        """One row per worker that tried a trial."""
        return reading.workers_of(self.attempts())

    # ---- what it comes to ----------------------------------------------------------------------------------------

    @property
    def front(self) -> Front | None:
        """The trials that no other one is better than; None of a study that is judged by one number alone."""
        return self._read("front", lambda store: read_front(store, self._row, self._storage, self._plugins, self._tell))

    @property
    def title(self) -> str:
        """A line: how many trials ended, in which states, by what they are ranked, at which pace."""
        return self._read("title", lambda store: read_title(store, self._row))

    @property
    def failures(self) -> Sequence[Failure]:
        """The causes of which trials failed, the commonest first."""
        return self._read("failures", lambda store: failures_of(store.trials(self._row.id)))

    @property
    def spent(self) -> Spent:
        """What all trials have spent: FLOPs, GPU hours, hours since the first began."""
        return self._read("spent", lambda store: store.spent(self._row.id))

    def groups(self, key: str, *, against: str | None = None, margin: float = USUAL_MARGIN) -> Groups:
        """What a value does to the objective: growlab.report.groups. Raises UnknownName for a key that no trial has."""
        asked = ("groups", key, against, margin)
        return self._read(asked, lambda store: read_groups(store, [self._row], key, against=against, margin=margin))

    def why(self) -> "Why":
        """What the search has learnt: effects with intervals, relevances, what it would try next.

        Loads torch, and the study's text. Raises DataError where that is not found.
        """
        from growlab.preparation.learning import read_why

        return self._read("why", lambda store: read_why(store, self._row, self._storage, self._plugins, self._tell))

    def load_kinds(self) -> None:
        """Fill the table of block kinds, plugins included. Loads torch."""
        from growlab.plugins import load_plugins

        load_plugins(self._plugins)

    # ---- how -----------------------------------------------------------------------------------------------------

    def _frame(self, key: object, read: Callable[[Store], "pd.DataFrame"]) -> "pd.DataFrame":
        """A copy, so that nobody changes what is kept; pandas copies the data when somebody does."""
        return self._read(key, read).copy(deep=False)

    def _read(self, key: object, read: Callable[[Store], T]) -> T:
        if key not in self._kept:
            with closing(Store.open(self._storage)) as store:
                self._kept[key] = read(store)
        kept: T = self._kept[key]  # type: ignore[assignment]  # by its key
        return kept
