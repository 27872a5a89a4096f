"""growlab train: one exported configuration, again or larger."""

from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from growlab.commands.options import (
    MOST_THREADS,
    STORAGE_DEFAULT,
    Artifacts,
    Deterministic,
    Device,
    Plugin,
    Storage,
    artifact_root,
    in_home,
    place,
    say,
    this_command,
)
from growlab.errors import GrowlabError, UsageError
from growlab.suggest import command

if TYPE_CHECKING:
    from growlab.specs import TrialSpec
    from growlab.storage import Store, StudyRow, TrialRow
    from growlab.study import Study


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
    from growlab.commands.study import created_store, prepared
    from growlab.commands.texts import found_texts, places
    from growlab.commands.working import work
    from growlab.export.folder import refuse_taken, refuse_unwritable
    from growlab.files import resolved
    from growlab.moved import with_moved
    from growlab.plugins import load_plugins
    from growlab.training.device import resolve_device

    plugins = plugin or []
    if output is not None:
        refuse_taken(output)
        refuse_unwritable(output)
    resolve_device(device)
    load_plugins(plugins)
    spec, origin = read_spec(config, set_ or [], budget)
    near = [resolved(config).parent, *places(storage)]
    spec = with_moved(spec, found_texts(spec.data, spec.curriculum, near, plugins))
    study, _ = prepared(study_of_one(spec, name or f"{origin}-again"))
    spec = replace(spec, data=study.data, curriculum=study.curriculum)  # with the hashes of what is here
    with created_store(storage) as store:
        _enqueue(store, study, spec, resume)
        row = replace(store.study(study.name), study=study)  # with the paths of here
        root, again = artifact_root(storage, artifacts), this_command(storage, "--resume")
        work(
            store,
            row,
            storage=storage,
            artifacts=root,
            devices=[device],
            options={"--lease": 30},
            threads=threads,
            plugins=plugins,
            deterministic=deterministic,
            again=again,
        )
        trial = store.trial(row.id, 0)
        see = f"see {command('report', study.name, options=['--trial', 0, *place(storage)])}"
        _require_completed(trial, see if trial.state.is_final else f"go on with: {again}")
        if output is not None:
            hint = command("export", study.name, options=["-o", "DIR", *place(storage, artifacts=artifacts)])
            _export(store, row, root, output, hint)
    say(f"completed: val_loss {trial.val_loss:.4f}; {see}")


def read_spec(config: Path, overrides: list[str], budget: str | None) -> "tuple[TrialSpec, str]":
    """The spec to train, and the name of where it came from. Plugins are loaded before. Raises UsageError."""
    from growlab.errors import SpecError
    from growlab.kinds import complete
    from growlab.layout import parse
    from growlab.study.column import trial_spec_from_words
    from growlab.study.overrides import apply_overrides
    from growlab.yaml_file import read_yaml

    path = config / "config.yaml" if config.is_dir() else config
    try:
        whole = read_yaml(path)
        raw: Any = whole.get("trial_spec")
        if not raw:
            raise SpecError("has no trial_spec; growlab train reads what growlab export wrote")
        if not isinstance(raw, dict):
            raise SpecError(f"trial_spec: must be a mapping, got {raw!r}")
        apply_overrides(raw, overrides)
        spec = trial_spec_from_words(raw)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
    spec = replace(spec, layout=str(complete(parse(spec.layout))))
    if budget is not None:
        spec = replace(spec, budget=replace(spec.budget, amount=scaled(spec.budget.amount, budget)))
    return spec, f"{whole.get('study', path.stem)}-{whole.get('trial', 0)}"


def scaled(amount: int, budget: str) -> int:
    """'10x' times the amount, or the amount that `budget` says, as 5e9. Raises UsageError."""
    try:
        wanted = Fraction(budget.removesuffix("x"))
    except (ValueError, ZeroDivisionError):
        wanted = Fraction(0)
    result = int(amount * wanted) if budget.endswith("x") else int(wanted)
    if result < 1:
        raise UsageError(f"--budget must be a factor such as 10x or an amount such as 5e9, got {budget!r}")
    return result


def study_of_one(spec: "TrialSpec", name: str) -> "Study":
    """A study that holds this trial and nothing else: every value fixed."""
    from growlab.domains import Fixed
    from growlab.layout import parse, skeleton
    from growlab.study import LayoutSpace, Study
    from growlab.study.growth_section import growth_domains

    layout = parse(spec.layout)
    return Study(
        name=name,
        data=spec.data,
        layouts=LayoutSpace(
            blocks={str(skeleton(block)): {} for block in layout.blocks},
            d_model=(layout.d_model,),
            depth=(layout.depth, layout.depth),
            start_with=(spec.layout,),
        ),
        budget=spec.budget,
        curriculum=spec.curriculum,
        n_trials=1,
        train={key: Fixed(value=value) for key, value in asdict(spec.train).items()},
        growth=growth_domains(spec.growth),
        seed=spec.seed,
    )


def _require_same(store: "Store", study: "Study", spec: "TrialSpec") -> None:
    """Raises UsageError when the stored study of that name is not this training, wherever its texts lie by now."""
    from growlab.moved import moves_between, with_moved

    row = store.study(study.name)
    moved = moves_between(row.study, study)
    # a study file may say the same: its trial then has another seed
    if moved is None or any(with_moved(trial.spec, moved) != spec for trial in store.trials(row.id)):
        raise UsageError(
            f"study {study.name!r} exists and is not this training; "
            f"choose another with --name, or delete it: {command('study delete', study.name, options=store.options)}"
        )


def _enqueue(store: "Store", study: "Study", spec: "TrialSpec", resume: bool) -> None:
    """Put the study and its trial into the database, or find them there. Raises UsageError for a name that is taken."""
    from growlab.kinds import shorten
    from growlab.layout import parse
    from growlab.records import Decision

    if study.name in {each.name for each in store.studies()}:
        _require_same(store, study, spec)
        if not resume:
            raise UsageError(f"study {study.name!r} exists; go on with --resume, or choose another --name")
    else:
        if resume:
            say(f"warning: no study {study.name!r} to go on with in {store.url}; training from step 0")
        store.create_study(study)
    row = store.study(study.name)
    layout = parse(spec.layout)
    decision = Decision(number=0, seed=spec.seed, origin="given", parent=None, mutation="", finished=(), running=())
    store.enqueue(  # does nothing when it is there
        row.id, number=0, spec=spec, layout=str(shorten(layout)), depth_start=layout.depth, params={}, decision=decision
    )


def _require_completed(trial: "TrialRow", advice: str) -> None:
    """Raises GrowlabError with `advice` for a trial that ended otherwise, or did not end."""
    from growlab.records import TrialState

    if trial.state is not TrialState.COMPLETED:
        reason = trial.error.partition("\n")[0]
        raise GrowlabError(f"the trial is not completed but {trial.state}{reason and ': '}{reason}; {advice}")


def _export(store: "Store", row: "StudyRow", root: Path, target: Path, hint: str) -> None:
    """Raises GrowlabError with `hint`, the command that exports later: the training is not lost."""
    from growlab.export.bundle import export_trial

    try:
        export_trial(store, row, 0, root, target)
    except GrowlabError as error:
        raise GrowlabError(f"{error}; the model is trained, export it with: {hint}") from error
