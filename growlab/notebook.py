"""A stored study in a notebook: its tables, its figures, and what it comes to, in a cell."""

from contextlib import closing
from functools import cached_property
from typing import TYPE_CHECKING

from growlab.frames.study_tables import StudyTables
from growlab.frames.summary import summary_html
from growlab.storage import Store

if TYPE_CHECKING:
    import optuna

    from growlab.figures import Figures


class LoadedStudy(StudyTables):
    """The tables of a study, its figures and its Optuna study; shown in a cell by its best trials."""

    def optuna_study(self) -> "optuna.Study":
        """The finished trials as one of Optuna's studies, in memory, for its importances and plots."""
        from growlab.preparation.optuna_studies import read_optuna_study

        with closing(Store.open(self._storage)) as store:
            return read_optuna_study(store, self._row, self._storage, self._plugins, self._tell)

    @cached_property
    def figures(self) -> "Figures":
        """Charts of altair, drawn from the tables. Raises UsageError where altair is not installed."""
        from growlab.figures import Figures

        return Figures(self)

    def __repr__(self) -> str:
        return f"<study {self.title}>"

    def _repr_html_(self) -> str:
        return summary_html(self.title, self.study, self.trials())
