"""Workers of this process that train a study, as one object."""

from contextlib import ExitStack

from growlab.preparation.telling import Tell
from growlab.running.crew import Crew, launched, require_success
from growlab.running.following import ended_trials, follow
from growlab.storage import Store, StudyRow


class Run:
    """Workers from their start until they have left or were stopped.

    They are stopped too when nothing refers to this object any more, and stop by themselves when this process ends.
    """

    def __init__(self, store: Store, row: StudyRow, crew: Crew) -> None:
        """Start the workers; the store is closed when they have left. Raises ArtifactsError where none can start."""
        self._store, self._row = store, row
        with ExitStack() as stack:
            stack.enter_context(store)
            self._ended = ended_trials(store, row)
            self._fleet = stack.enter_context(launched(store, row, crew))
            self._held = stack.pop_all()
        self._left = False

    def n_running(self) -> int:
        """The number of workers that have not left."""
        return self._fleet.running()

    def wait(self, tell: Tell = print) -> None:
        """Return when all workers have left, at once after a stop; a line is told for each trial that ends meanwhile.

        An interrupt ends the waiting alone: the workers train on. Raises GrowlabError when all of them failed.
        """
        if self._left:
            return
        follow(self._store, self._row, self._fleet, self._ended, tell)
        self.stop()
        require_success(self._fleet, tell)

    def stop(self) -> None:
        """Ask the workers to leave, and wait until they have: each saves its trial and puts it back into the queue."""
        self._held.close()
        self._left = True
