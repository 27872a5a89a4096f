"""Several workers on a device, or on each GPU, that serve a stored study."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from growlab.preparation.command_lines import place_options, unusual_options
from growlab.preparation.places import artifact_root
from growlab.preparation.texts import with_texts_here
from growlab.running.crew import Crew
from growlab.running.devices import devices_for
from growlab.running.patience import telling_patience
from growlab.running.slots import Slots, slots_for
from growlab.running.work import Follower, interrupt_on_stop, work
from growlab.storage import Store
from growlab.suggest import command


def serve_in_slots(
    study: str,
    slots: Slots,
    *,
    paths: Sequence[str],
    storage: str,
    artifacts: Path | None,
    device: str,
    threads: int,
    max_trials: int | None,
    max_time_s: float | None,
    lease_s: float,
    checkpoint_every_s: float,
    patience_s: float,
    deterministic: bool,
    plugins: Sequence[Path],
    follower: Follower,
) -> None:
    """Let `slots` workers on the device, or on each GPU for 'all', serve a study until all have left.

    The limits hold for each worker; `paths` are the places of texts, as KEY=PATH. An interrupt stops the workers and is
    no failure. Raises NotFound, UsageError, and GrowlabError when all of them failed.
    """
    tell, devices = follower.tell, devices_for(device, 1)
    patience = telling_patience(patience_s, tell)
    with Store.open(storage, patience=patience) as store, contextlib.suppress(KeyboardInterrupt):
        row = store.study(study)
        row = replace(row, study=with_texts_here(row.study, paths, storage, plugins, tell))
        if follower.heeds_signals:
            interrupt_on_stop()  # measuring takes long
        n = (
            slots_for(store, row, devices, threads=threads, plugins=plugins, deterministic=deterministic, tell=tell)
            if slots == "auto"
            else slots
        )
        unusual = {"--device": device != "auto" and device, "--slots": slots != 1 and slots, "--threads": threads}
        texts = [part for path in paths for part in ("--set", path)]
        places = place_options(storage, plugins, artifacts)
        crew = Crew(
            storage=storage,
            artifacts=artifact_root(storage, artifacts),
            devices=[name for name in devices for _ in range(n)],
            options={
                "--lease": lease_s,
                "--checkpoint-every": checkpoint_every_s,
                "--patience": patience_s,
                "--max-trials": max_trials,
                "--max-time": max_time_s,
            },
            threads=threads,
            plugins=plugins,
            deterministic=deterministic,
        )
        again = command("worker", study, options=[*unusual_options(unusual, deterministic), *texts, *places])
        work(store, row, crew, again=again, follower=follower)
