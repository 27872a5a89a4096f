"""Figures of a study as charts of altair, each drawn from its frames; one file a figure.

Needs the extra growlab[html]. A chart is None where the study has nothing to show in it yet.
"""

from typing import TYPE_CHECKING, Any

from growlab.errors import UsageError
from growlab.packages import install_command

if TYPE_CHECKING:
    from growlab.frames.study_tables import StudyTables

USUAL_POINTS = 4_800  # of altair's own 5,000 rows


class Figures:
    """The figures of a study; in a notebook each is shown as it is returned."""

    def __init__(self, study: "StudyTables") -> None:
        """Raises UsageError, with the command that installs it, where altair is missing."""
        try:
            import altair  # noqa: F401
        except ImportError:
            raise UsageError(f"figures need the package altair; run: {install_command('altair')}") from None
        self._study = study

    def curves(self, most_points: int = USUAL_POINTS) -> Any:
        """Validation loss against compute, growth marked, thinned to so many points."""
        from growlab.figures.curves import curves

        return curves(self._study, most_points)

    def pareto(self, against: str = "") -> Any:
        """Completed trials by the first objective and another one, or by size where there is no other."""
        from growlab.figures.objectives import pareto

        return pareto(self._study, against or next(iter(self.others()), "n_params"))

    def others(self) -> list[str]:
        """The keys of the objectives after the first."""
        return [objective.key for objective in self._study.study.objectives[1:]]

    def parallel(self) -> Any:
        """Parallel coordinates of what was searched and what came of it."""
        from growlab.figures.parallel import parallel

        return parallel(self._study)

    def effects(self) -> Any:
        """What helps, by the study's model, with intervals. Raises DataError where its text is not found."""
        from growlab.figures.importance import effects

        return effects(self._study.why().explanation)

    def relevances(self) -> Any:
        """What tells good trials from bad ones, by the study's model. Raises DataError likewise."""
        from growlab.figures.importance import relevances

        return relevances(self._study.why().explanation)

    def layouts(self) -> Any:
        """The layouts of the best trials as coloured stacks."""
        from growlab.figures.layouts import layouts

        return layouts(self._study)

    def growth_stack(self, trial: int) -> Any:
        """The stack of a trial as it grew. Loads torch."""
        from growlab.figures.layouts import growth_stack

        return growth_stack(self._study, trial)

    def path_heatmap(self) -> Any:
        """τ, κ or H of each unit over a trial's steps."""
        from growlab.figures.paths import path_heatmap

        return path_heatmap(self._study)

    def growth_timeline(self) -> Any:
        """When each trial grew."""
        from growlab.figures.timelines import growth_timeline

        return growth_timeline(self._study)

    def rung_timeline(self) -> Any:
        """What trials came to at their rungs."""
        from growlab.figures.timelines import rung_timeline

        return rung_timeline(self._study)

    def worker_timeline(self) -> Any:
        """What each worker did, over time."""
        from growlab.figures.timelines import worker_timeline

        return worker_timeline(self._study)
