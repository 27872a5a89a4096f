"""An exported trial, again or larger, as a study of one."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growlab.errors import UsageError
from growlab.preparation.telling import Tell
from growlab.proposal import given_proposal
from growlab.study.checking import require_mapping
from growlab.suggest import command

if TYPE_CHECKING:
    from growlab.specs import TrialSpec
    from growlab.storage import Store
    from growlab.study import Study


def read_again(
    config: Path,
    overrides: Sequence[str],
    budget: str | None,
    *,
    name: str,
    storage: str,
    plugins: Sequence[Path],
    tell: Tell,
    begin_from: Path | None = None,
    text: Path | None = None,
) -> "tuple[Study, TrialSpec]":
    """Make a study of one, and its trial: that of an exported `config`, with hashes and paths of the texts found here.

    `name` is that of the study; '' calls it by where the trial came from. The trial begins with the weights of the
    exported folder `begin_from`, and reads `text` in place of its own, where these are given. Raises GrowlabError for
    what cannot be trained.
    """
    from growlab.domains import corners
    from growlab.files import resolved
    from growlab.moved import with_moved
    from growlab.plugins import load_plugins
    from growlab.preparation.checking import prepare
    from growlab.preparation.places import folders_near
    from growlab.preparation.texts import found_texts

    load_plugins(plugins)
    spec, origin = read_spec(config, overrides, budget, begin_from, text)
    if spec.train.init_from:
        spec = replace(spec, train=replace(spec.train, init_from=str(resolved(Path(spec.train.init_from)))))
    near = [resolved(config).parent, *folders_near(storage)]
    spec = with_moved(spec, found_texts(spec.data, spec.curriculum, near, plugins, tell))
    study, _ = prepare(study_of_one(spec, name or f"{origin}-again"), plugins, tell)
    [sha256], [layout] = (corners(study.train[key]) for key in ("init_sha256", "init_layout"))
    train = replace(spec.train, init_sha256=str(sha256), init_layout=str(layout))
    return study, replace(spec, data=study.data, curriculum=study.curriculum, train=train)


def read_spec(
    config: Path, overrides: Sequence[str], budget: str | None, begin_from: Path | None = None, text: Path | None = None
) -> "tuple[TrialSpec, str]":
    """Read the spec to train, and the name of where it came from. Plugins are loaded before. Raises UsageError."""
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
        if begin_from is not None:
            _begin_from(raw, begin_from)
        if text is not None:
            _read_instead(raw, text, begin_from)
        apply_overrides(raw, overrides)
        spec = trial_spec_from_words(raw)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
    spec = replace(spec, layout=str(complete(parse(spec.layout))))
    if budget is not None:
        spec = replace(spec, budget=replace(spec.budget, amount=scaled(spec.budget.amount, budget)))
    return spec, f"{whole.get('study', path.stem)}-{whole.get('trial', 0)}"


def _begin_from(raw: dict[str, Any], folder: Path) -> None:
    """Let a trial begin with the weights of an exported folder."""
    from growlab.files import resolved

    train = dict(require_mapping("train", raw.get("train")))
    raw["train"] = {**train, "init_from": str(resolved(folder)), "init_sha256": "", "init_layout": ""}


def _read_instead(raw: dict[str, Any], text: Path, begin_from: Path | None) -> None:
    """Let a trial read another text of the same sort; with the tokenizer of the model that it begins with, if any."""
    from growlab.files import resolved
    from growlab.training.beginning import TOKENIZER

    data = dict(require_mapping("data", raw.get("data")))
    source = data.get("source")
    data |= {"path": str(resolved(text)), "sha256": "", "tokenizer_sha256": ""}
    data["source"] = "text" if source in ("stdlib", "tiny-shakespeare", "hf") else source
    if begin_from is not None:
        data |= {"tokenizer": "file", "tokenizer_path": str(resolved(begin_from) / TOKENIZER), "vocab_size": 0}
    raw["data"] = data


def scaled(amount: int, budget: str) -> int:
    """Scale an amount by '10x', or take the one that `budget` says, as 5e9. Raises UsageError."""
    try:
        wanted = Fraction(budget.removesuffix("x"))
    except (ValueError, ZeroDivisionError):
        wanted = Fraction(0)
    result = int(amount * wanted) if budget.endswith("x") else int(wanted)
    if result < 1:
        raise UsageError(f"--budget must be a factor such as 10x or an amount such as 5e9, got {budget!r}")
    return result


def study_of_one(spec: "TrialSpec", name: str) -> "Study":
    """Make a study that holds this trial and nothing else: every value fixed."""
    from growlab.domains import Fixed
    from growlab.layout import parse, skeleton
    from growlab.study import LayoutSpace, Study
    from growlab.study.growth_section import growth_domains
    from growlab.study.sampler_section import read_sampler

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
        sampler=read_sampler("evolution"),  # it is never asked, and stored studies of one have it
        seed=spec.seed,
    )


def enqueue_again(store: "Store", study: "Study", spec: "TrialSpec", *, resume: bool, tell: Tell) -> None:
    """Put the study and its trial into the database, or find them there. Raises UsageError for a name that is taken."""
    if study.name in {summary.name for summary in store.studies()}:
        _require_same(store, study, spec)
        if not resume:
            raise UsageError(f"study {study.name!r} exists; go on with --resume, or choose another --name")
    else:
        if resume:
            tell(f"warning: no study {study.name!r} to go on with in {store.url}; training from step 0")
        store.create_study(study)
    row = store.study(study.name)
    store.enqueue(row.id, given_proposal(spec, 0, {}))  # does nothing when it is there


def _require_same(store: "Store", study: "Study", spec: "TrialSpec") -> None:
    """Raise UsageError when the stored study of that name is not this training, wherever its texts lie by now."""
    from growlab.moved import moves_between, with_moved

    row = store.study(study.name)
    moved = moves_between(row.study, study)
    # a study file may say the same: its trial then has another seed
    if moved is None or any(with_moved(trial.spec, moved) != spec for trial in store.trials(row.id)):
        raise UsageError(
            f"study {study.name!r} exists and is not this training; "
            f"choose another with --name, or delete it: {command('study delete', study.name, options=store.options)}"
        )
