"""A study from its file or its name until its trials have ended."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from growlab.preparation.command_lines import path_options, place_options, unusual_options
from growlab.preparation.confirming import confirms
from growlab.preparation.places import artifact_root
from growlab.preparation.remaining import n_unfinished
from growlab.preparation.sources import is_new, read_study, require_named
from growlab.preparation.storing import find_or_create
from growlab.preparation.texts import with_found_texts
from growlab.report.title import read_over
from growlab.running.crew import Crew
from growlab.running.devices import devices_for
from growlab.running.outcome import Standing, read_standing
from growlab.running.patience import telling_patience
from growlab.running.work import Follower, work
from growlab.search.sampling import sampler_options
from growlab.storage import Store, StudyRow
from growlab.storage.address import read_address
from growlab.suggest import command


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Workers on this machine, as a person asks for them."""

    storage: str
    artifacts: Path | None
    workers: int  # on the device, or on each GPU for 'all'
    device: str
    threads: int
    lease_s: float
    patience_s: float
    deterministic: bool
    plugins: Sequence[Path]

    @property
    def places(self) -> list[str]:
        """Options by which another command finds the same database, artifacts and plugins."""
        return place_options(self.storage, self.plugins, self.artifacts)

    def crew(self, devices: Sequence[str]) -> Crew:
        return Crew(
            storage=self.storage,
            artifacts=artifact_root(self.storage, self.artifacts),
            devices=devices,
            options={"--lease": self.lease_s, "--patience": self.patience_s},
            threads=self.threads,
            plugins=self.plugins,
            deterministic=self.deterministic,
        )


def run_study(
    name_or_file: str, overrides: Sequence[str], new_name: str, *, workers: Workers, follower: Follower
) -> Standing:
    """Create the study if it is new, let workers train what is left of it, and read how it stands when they have left.

    Raises GrowlabError for what cannot be trained and when all workers failed, KeyboardInterrupt after a stop.
    """
    tell, new, plugins = follower.tell, is_new(name_or_file), workers.plugins
    devices = devices_for(workers.device, workers.workers)
    if not new and (database := read_address(workers.storage).path) and not database.exists():
        require_named(name_or_file)
    if new:
        read_study(name_or_file, overrides, new_name, plugins)  # an unreadable file must not leave a database behind
    with Store.open(workers.storage, create=new, patience=telling_patience(workers.patience_s, tell)) as store:
        row, again = find_or_create(store, name_or_file, overrides, new_name, plugins, tell), ""
        if n_unfinished(store, row) <= 0:
            if not read_over(store, row):  # which the standing says
                tell(_finished(store, row))
        else:
            if not sampler_options(row.study).proposes and len(store.trials(row.id)) < row.study.n_trials:
                tell(f"sampler {row.study.sampler.name} proposes nothing: this waits for trials that somebody enqueues")
            again = train_rest(store, row, workers, devices, follower, verb="study run")
        return read_standing(
            store, row, storage=workers.storage, artifacts=workers.artifacts, plugins=plugins, again=again
        )


def train_rest(
    store: Store,
    row: StudyRow,
    workers: Workers,
    devices: Sequence[str],
    follower: Follower,
    *,
    verb: str,
    study: str = "",
    options: Sequence[object] = (),
) -> str:
    """Let workers train what is left of a stored study; return the command that goes on with it.

    That is `verb` with the name of the study, or with another `study` that it takes, and these options. Raises
    GrowlabError when all workers failed, KeyboardInterrupt after a stop.
    """
    given = path_options(store.study(row.study.name).study, row.study)
    row = replace(row, study=with_found_texts(row.study, workers.storage, workers.plugins, follower.tell))
    unusual = unusual_options(
        {
            "--workers": workers.workers != 1 and workers.workers,
            "--device": workers.device != "auto" and workers.device,
            "--threads": workers.threads,
        },
        workers.deterministic,
    )
    again = command(verb, study or row.study.name, options=[*options, *given, *unusual, *workers.places])
    work(store, row, workers.crew(devices), again=again, follower=follower)
    return again


def _finished(store: Store, row: StudyRow) -> str:
    """That a study is finished, and how it gets more trials, where it may."""
    name = row.study.name
    if confirms(store, row):
        return f"study {name!r} is finished"
    change = f"n_trials={2 * row.study.n_trials}"
    return f"study {name!r} is finished; more trials: {command('study set', name, change, options=store.options)}"
