"""growlab train: one exported configuration, again or larger."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from growlab import api
from growlab.commands.options import (
    MOST_THREADS,
    STORAGE_DEFAULT,
    Artifacts,
    Deterministic,
    Device,
    Plugin,
    Storage,
    in_home,
    say,
    this_command,
)
from growlab.errors import GrowlabError
from growlab.escapes import first_line
from growlab.preparation.command_lines import place_options
from growlab.suggest import command

if TYPE_CHECKING:
    from growlab.storage import TrialRow


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A config.yaml that growlab export wrote.")],
    storage: Storage = STORAGE_DEFAULT,
    artifacts: Artifacts = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change the trial, such as train.lr=1e-3.")
    ] = None,
    budget: Annotated[str | None, typer.Option(metavar="10x|AMOUNT", help="Scale it, or set it.")] = None,
    name: Annotated[str, typer.Option(help="Of the study that holds it.", show_default="STUDY-TRIAL-again")] = "",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a training that was stopped.")] = False,
    device: Device = "auto",
    threads: Annotated[int, typer.Option(min=0, max=MOST_THREADS, help="CPU threads of torch; 0: all cores.")] = 0,
    deterministic: Deterministic = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Then export to this new folder.", callback=in_home)
    ] = None,
    plugin: Plugin = None,
) -> None:
    """Train an exported configuration again: the same trial, with its seed, as a study of one.

    On a CPU with as many threads the result is the same to the last bit.
    """
    from growlab.commands.watching import work
    from growlab.export.folder import refuse_taken, refuse_unwritable
    from growlab.preparation.again import enqueue_again, read_again
    from growlab.preparation.places import artifact_root
    from growlab.running.crew import Crew
    from growlab.storage import Store
    from growlab.training.device import resolve_device

    plugins = plugin or []
    if output is not None:
        refuse_taken(output)
        refuse_unwritable(output)
    resolve_device(device)
    study, spec = read_again(config, set_ or [], budget, name=name, storage=storage, plugins=plugins, tell=say)
    with Store.open(storage, create=True) as store:
        enqueue_again(store, study, spec, resume=resume, tell=say)
        row = replace(store.study(study.name), study=study)  # with the paths of here
        again = this_command(storage, "--resume")
        crew = Crew(
            storage=storage,
            artifacts=artifact_root(storage, artifacts),
            devices=[device],
            options={"--lease": api.LEASE_S},
            threads=threads,
            plugins=plugins,
            deterministic=deterministic,
        )
        work(store, row, crew, again=again)
        trial = store.trial(row.id, 0)
    see = f"see {command('report', study.name, options=['--trial', 0, *place_options(storage)])}"
    _require_completed(trial, see if trial.state.is_final else f"go on with: {again}")
    if output is not None:
        hint = command("export", study.name, options=["-o", "DIR", *place_options(storage, artifacts=artifacts)])
        _export(study.name, output, storage, artifacts, hint)
    say(f"completed: val_loss {trial.val_loss:.4f}; {see}")


def _require_completed(trial: "TrialRow", advice: str) -> None:
    """Raises GrowlabError with `advice` for a trial that ended otherwise, or did not end."""
    from growlab.records import TrialState

    if trial.state is not TrialState.COMPLETED:
        reason = first_line(trial.error)
        raise GrowlabError(f"the trial is not completed but {trial.state}{reason and ': '}{reason}; {advice}")


def _export(study: str, folder: Path, storage: str, artifacts: Path | None, hint: str) -> None:
    """Raises GrowlabError with `hint`, the command that exports later: the training is not lost."""
    try:
        api.export(study, folder, trial=0, storage=storage, artifacts=artifacts)
    except GrowlabError as error:
        raise GrowlabError(f"{error}; the model is trained, export it with: {hint}") from error
