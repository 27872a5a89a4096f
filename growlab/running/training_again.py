"""An exported configuration trained again, to its result."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from growlab.defaults import LOCAL_LEASE_S
from growlab.errors import GrowlabError
from growlab.escapes import first_line
from growlab.export.bundle import export_trial
from growlab.export.folder import refuse_taken, refuse_unwritable
from growlab.preparation.again import enqueue_again, read_again
from growlab.preparation.command_lines import place_options
from growlab.preparation.places import artifact_root
from growlab.records import TrialState
from growlab.running.crew import Crew
from growlab.running.work import Follower, work
from growlab.storage import Store, TrialRow
from growlab.suggest import command
from growlab.training.device import resolve_device


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trial that was trained again, and completed."""

    study: str  # that holds it, and nothing else
    trial: TrialRow
    report: str  # the command that prints its page


def train_again(
    config: Path,
    overrides: Sequence[str],
    budget: str | None,
    *,
    name: str,
    storage: str,
    artifacts: Path | None,
    resume: bool,
    again: str,
    device: str,
    threads: int,
    deterministic: bool,
    output: Path | None,
    plugins: Sequence[Path],
    follower: Follower,
    begin_from: Path | None = None,
    text: Path | None = None,
) -> Trained:
    """Train an exported configuration as a study of one, and export it to `output` if that is given.

    It begins with the weights of the exported folder `begin_from`, and reads `text` in place of its own, if given.
    `again` says how to go on after a stop, with `resume`. Raises GrowlabError for what cannot be trained, a trial that
    did not complete, or an export that fails afterwards; KeyboardInterrupt after a stop.
    """
    if output is not None:
        refuse_taken(output)
        refuse_unwritable(output)
    resolve_device(device)
    tell, root = follower.tell, artifact_root(storage, artifacts)
    study, spec = read_again(
        config,
        overrides,
        budget,
        name=name,
        storage=storage,
        plugins=plugins,
        tell=tell,
        begin_from=begin_from,
        text=text,
    )
    crew = Crew(
        storage=storage,
        artifacts=root,
        devices=[device],
        options={"--lease": LOCAL_LEASE_S},
        threads=threads,
        plugins=plugins,
        deterministic=deterministic,
    )
    with Store.open(storage, create=True) as store:
        enqueue_again(store, study, spec, resume=resume, tell=tell)
        row = replace(store.study(study.name), study=study)  # with the paths of here
        work(store, row, crew, again=again, follower=follower)
        trial = store.trial(row.id, 0)
    report = command("report", study.name, options=["--trial", 0, *place_options(storage)])
    _require_completed(trial, f"see {report}" if trial.state.is_final else f"go on with: {again}")
    if output is not None:
        hint = command("export", study.name, options=["-o", "DIR", *place_options(storage, artifacts=artifacts)])
        _export(study.name, output, storage, root, hint)
    return Trained(study=study.name, trial=trial, report=report)


def _require_completed(trial: TrialRow, advice: str) -> None:
    """Raise GrowlabError with `advice` for a trial that ended otherwise, or did not end."""
    if trial.state is not TrialState.COMPLETED:
        reason = first_line(trial.error)
        raise GrowlabError(f"the trial is not completed but {trial.state}{reason and ': '}{reason}; {advice}")


def _export(study: str, folder: Path, storage: str, artifacts: Path, hint: str) -> None:
    """Export the trial. Raises GrowlabError with `hint`, the command that exports later: the training is not lost."""
    try:
        with Store.open(storage) as store:
            export_trial(store, store.study(study), 0, artifacts, folder)
    except GrowlabError as error:
        raise GrowlabError(f"{error}; the model is trained, export it with: {hint}") from error
