"""The model card: README.md of an exported trial, for people, with metadata that the Hugging Face hub reads."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from growlab import __version__, amounts
from growlab.export.record import TrialRecord
from growlab.layout import parse
from growlab.records import GrowthEvent
from growlab.yaml_file import yaml_text


def model_card(record: TrialRecord, layout: str, files: Mapping[str, str], *, library: str, usage: str) -> str:
    """Write the card. `layout` is the one at the end, `files` says what each file is, `usage` how the model is run."""
    metadata = yaml_text(_metadata(record, layout, library))
    return f"---\n{metadata}---\n\n" + "\n".join(_body(record, layout, files, usage)) + "\n"


# ---- for programs ----------------------------------------------------------------------------------------------------


def _metadata(record: TrialRecord, layout: str, library: str) -> dict[str, Any]:
    data, trial = record.spec.data, record.trial
    splits = {"validation": _losses(trial.val_loss, trial.bits_per_byte), "test": _test_losses(record)}
    dataset: dict[str, Any] = {"name": _name_of_data(record), "type": data.source}
    results = [
        {
            "task": {"type": "text-generation"},
            "dataset": dataset | {"split": split},
            "metrics": [{"type": name, "value": value, "name": _METRICS[name]} for name, value in losses.items()],
        }
        for split, losses in splits.items()
        if losses
    ]
    return {  # the first four keys are the hub's
        "library_name": library,
        "pipeline_tag": "text-generation",
        "tags": ["growlab", "architecture-search"],
        "model-index": [{"name": record.name, "results": results}],
        "growlab": {
            "version": __version__,
            "study": record.study_row.study.name,
            "trial": trial.number,
            "layout": layout,
            "layout_hash": parse(layout).hash,
            "n_params": trial.n_params,
            "seed": record.spec.seed,
            "data": {
                "source": data.source,
                "sha256": data.sha256,
                "tokenizer": data.tokenizer,
                "tokenizer_sha256": data.tokenizer_sha256,
            },
            "flops": trial.flops,
            "tokens": trial.tokens,
            "steps": trial.steps,
            "versions": _versions(record),
        },
    }


_METRICS = {"loss": "mean negative log-likelihood, nats per token", "bits_per_byte": "bits per byte"}


def _losses(loss: float | None, bits_per_byte: float | None) -> dict[str, float]:
    values = {"loss": loss, "bits_per_byte": bits_per_byte}
    return {name: value for name, value in values.items() if value is not None}


def _test_losses(record: TrialRecord) -> dict[str, float]:
    return _losses(record.test.get("loss"), record.test.get("bits_per_byte"))


# ---- for people ------------------------------------------------------------------------------------------------------


def _body(record: TrialRecord, layout: str, files: Mapping[str, str], usage: str) -> Iterator[str]:
    study, trial = record.study_row.study.name, record.trial
    n_params = amounts.count(trial.n_params)
    yield f"# {record.name}"
    yield ""
    yield f"A language model of {n_params} parameters, trial {trial.number} of the growlab study `{study}`."
    yield ""
    yield from ("```", trial.layout_end or layout, "```", "")
    yield from ("## Use", "", usage, "")
    yield from ("## Results", "", *_results(record), "")
    yield from ("## How it was chosen", "", *_chosen(record), "")
    yield from ("## How it was trained", "", *_trained(record), "")
    yield from ("## How it grew", "", *_grown(record.growth_events, trial.depth_start), "")
    yield from ("## Files", "", *(f"- `{name}`: {what}" for name, what in files.items()))


def _results(record: TrialRecord) -> Iterator[str]:
    trial = record.trial
    yield from _table(
        ("split", "loss, nats per token", "bits per byte"),
        [
            ("validation, after the last step", trial.val_loss, trial.bits_per_byte),
            ("validation, the best on the way", trial.best_val_loss, None),
            *([("test", record.test.get("loss"), record.test.get("bits_per_byte"))] if record.test else []),
        ],
    )
    yield ""
    if record.spec.data.train_on_val:
        yield "It was trained on the validation split too, so that its losses there say nothing of other text."
    elif not record.test:
        yield "Nobody has read the test split for it. The validation split is what the search chose by."


def _chosen(record: TrialRecord) -> Iterator[str]:
    study, decision = record.study_row.study, record.decision
    objective = study.objective.metric
    parent = "" if decision.parent is None else f" of trial {decision.parent}"
    how = f"{decision.origin}{parent}" + (f" ({decision.mutation})" if decision.mutation else "")
    place = "beyond a constraint of its study" if record.rank is None else f"rank {record.rank} by {objective}"
    yield f"- {place}, of {record.n_completed} completed trial(s) of `{study.name}`"
    yield f"- searched by {study.sampler.name}, seed {study.seed}"
    yield f"- proposed as: {how}"
    if (found := record.confirmation) is None:
        yield "- not confirmed: the best of many trials was lucky too, and no training on fresh seeds says by how much"
        return
    mean, width = found.objective.mean, found.objective.half_width
    interval = "" if width is None else f" ± {width:.4f} (95 %, Student's t)"
    yield f"- confirmed on {found.objective.n} fresh seed(s), study `{found.study}`: {objective} {mean:.4f}{interval}"


def _trained(record: TrialRecord) -> Iterator[str]:
    spec, trial = record.spec, record.trial
    data, train = spec.data, spec.train
    yield f"- data: {_name_of_data(record)}, source {data.source}, sha256 `{data.sha256 or 'not recorded'}`"
    yield f"- tokenizer: {data.tokenizer}" + (f", sha256 `{data.tokenizer_sha256}`" if data.tokenizer_sha256 else "")
    yield f"- splits: {data.val_fraction:g} of the training part is validation, {data.test_fraction:g} of all is test"
    yield f"- seed {spec.seed}; {trial.steps} steps of {train.batch_size} × {train.seq_len} tokens"
    yield f"- {amounts.flops(trial.flops)}, {amounts.count(trial.tokens)} tokens, {amounts.duration(trial.elapsed_s)}"
    yield f"- {train.optimizer}, peak lr {train.lr:g}, weight decay {train.weight_decay:g}, {train.precision}"
    yield f"- dropout {train.dropout:g}"
    if record.trained_on:
        yield f"- on {record.trained_on}"
    if record.versions:
        yield "- " + ", ".join(f"{name} {version}" for name, version in _versions(record).items())


def _grown(events: Sequence[GrowthEvent], depth_start: int) -> Iterator[str]:
    if not events:
        yield f"It did not grow: it began with its {depth_start} blocks."
        return
    yield from _table(
        ("step", "new unit", "at", "made by", "because", "τ", "κ", "loss before → after", "blocks"),
        [
            (
                event.step,
                f"`{event.unit}`",
                event.position,
                event.operator,
                event.reason,
                event.tau,
                event.kappa,
                f"{event.val_loss_before:.4f} → {event.val_loss_after:.4f}",
                f"{event.depth_before} → {event.depth_after}",
            )
            for event in events
        ],
    )


def _table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(map(_cell, row))} |"


def _cell(value: object) -> str:
    if isinstance(value, float) or value is None:
        return amounts.number(value, 4)
    return str(value).replace("|", "\\|")


def _versions(record: TrialRecord) -> dict[str, str]:
    """What trained it; a plugin by its file's name."""
    return {
        f"plugin {PurePath(name).name}" if name.startswith("plugin ") else name: str(version)
        for name, version in record.versions.items()
    }


def _name_of_data(record: TrialRecord) -> str:
    """The corpus by its file's name: where it lay on a disk is nobody's business."""
    data = record.spec.data
    return (PurePath(data.path).name if data.source != "hf" else data.path) or data.source
