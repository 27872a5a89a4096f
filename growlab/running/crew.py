"""Workers that are to be started on this machine, and starting them."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from growlab.errors import GrowlabError, UsageError
from growlab.fleet import local
from growlab.preparation.command_lines import path_options, plugin_options
from growlab.preparation.telling import Tell
from growlab.running.devices import shared_threads
from growlab.storage import Store, StudyRow


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Workers on this machine, all with the same options."""

    storage: str  # the URL of the database
    artifacts: Path
    devices: Sequence[str]  # of each worker
    options: Mapping[str, float | None]  # of growlab worker; one that is None is not given
    threads: int = (
        0  # of torch, for each worker; 0 divides the cores between them, unless OMP_NUM_THREADS says how many
    )
    plugins: Sequence[Path] = ()
    deterministic: bool = False

    def __str__(self) -> str:
        """The number of workers, as '2 worker(s)', and where they are, unless all are on one device."""
        named = f" ({', '.join(self.devices)})" if len(set(self.devices)) > 1 else ""
        return f"{len(self.devices)} worker(s){named}"

    def logs(self, row: StudyRow) -> Path:
        """The folder of what the workers say."""
        return self.artifacts / f"{row.study.name}-{row.id}" / "logs"

    def worker_options(self) -> list[str]:
        """Options of `growlab worker`, but for the database, the artifacts, the device and the texts."""
        given = {**self.options, "--threads": self.threads or shared_threads(len(self.devices))}
        options = [part for name, value in given.items() if value is not None for part in (name, str(value))]
        return [*options, *(["--deterministic"] if self.deterministic else []), *plugin_options(self.plugins)]


@contextlib.contextmanager
def launched(store: Store, row: StudyRow, crew: Crew) -> Iterator[local.LocalFleet]:
    """Start the workers; at the end all are asked to stop and waited for, whatever happened.

    The texts of `row` may lie elsewhere than where the store has them recorded. Raises ArtifactsError where no logs can
    be written or no process can be started.
    """
    paths = path_options(store.study(row.study.name).study, row.study)
    with local.launch(
        row.study.name,
        crew.devices,
        storage_url=crew.storage,
        artifacts=crew.artifacts,
        logs=crew.logs(row),
        extra=[*crew.worker_options(), *paths],
    ) as fleet:
        yield fleet


def require_success(fleet: local.LocalFleet, tell: Tell) -> None:
    """Tell of each worker that failed. Raises GrowlabError when all of them did."""
    failures = fleet.failures()
    for failure in failures:
        tell(f"warning: {failure}")
    if len(failures) == len(fleet.processes):
        usage = all(process.returncode == UsageError.exit_code for process in fleet.processes)
        raise (UsageError if usage else GrowlabError)("every worker ended with an error; see above")
