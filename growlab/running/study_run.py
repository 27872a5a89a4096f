"""A study from its file or its name until its trials have ended."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from growlab.preparation.command_lines import path_options, place_options, unusual_options
from growlab.preparation.places import artifact_root
from growlab.preparation.sources import is_new, read_study
from growlab.preparation.storing import find_or_create
from growlab.preparation.texts import with_found_texts
from growlab.running.crew import Crew
from growlab.running.devices import devices_for
from growlab.running.following import n_unfinished
from growlab.running.outcome import Standing, read_standing
from growlab.running.patience import telling_patience
from growlab.running.work import Follower, work
from growlab.storage import Store
from growlab.suggest import command


def run_study(
    name_or_file: str,
    overrides: Sequence[str],
    new_name: str,
    *,
    storage: str,
    artifacts: Path | None,
    workers: int,
    device: str,
    threads: int,
    lease_s: float,
    patience_s: float,
    deterministic: bool,
    plugins: Sequence[Path],
    follower: Follower,
) -> Standing:
    """Create the study if it is new, let workers train what is left of it, and read how it stands when they have left.

    Raises GrowlabError for what cannot be trained and when all workers failed, KeyboardInterrupt after a stop.
    """
    tell, devices, new = follower.tell, devices_for(device, workers), is_new(name_or_file)
    if new:
        read_study(name_or_file, overrides, new_name, plugins)  # an unreadable file must not leave a database behind
    with Store.open(storage, create=new, patience=telling_patience(patience_s, tell)) as store:
        row = find_or_create(store, name_or_file, overrides, new_name, plugins, tell)
        name, places = row.study.name, place_options(storage, plugins, artifacts)
        if n_unfinished(store, row) <= 0:
            change = f"n_trials={2 * row.study.n_trials}"
            more = command("study set", name, change, options=place_options(storage))
            tell(f"study {name!r} is finished; more trials: {more}")
            return read_standing(store, row, storage=storage, artifacts=artifacts, plugins=plugins)
        given = path_options(store.study(name).study, row.study)
        row = replace(row, study=with_found_texts(row.study, storage, plugins, tell))
        unusual = {"--workers": workers != 1 and workers, "--device": device != "auto" and device, "--threads": threads}
        again = command("study run", name, options=[*given, *unusual_options(unusual, deterministic), *places])
        crew = Crew(
            storage=storage,
            artifacts=artifact_root(storage, artifacts),
            devices=devices,
            options={"--lease": lease_s, "--patience": patience_s},
            threads=threads,
            plugins=plugins,
            deterministic=deterministic,
        )
        work(store, row, crew, again=again, follower=follower)
        return read_standing(store, row, storage=storage, artifacts=artifacts, plugins=plugins, again=again)
