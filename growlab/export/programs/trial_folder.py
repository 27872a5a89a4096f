"""A trial of a study as a folder that holds one program, checked before it appears."""

import json
from collections.abc import Sequence
from pathlib import Path

from growlab.data.tokenizers import Tokenizer
from growlab.export.bundle import write_config, write_metrics
from growlab.export.card import model_card
from growlab.export.contents import CARD, CONFIG, METRICS, TOKENIZER
from growlab.export.folder import whole_folder
from growlab.export.huggingface.tokenizer_file import tokenizer_files
from growlab.export.programs.checking import require_equal
from growlab.export.programs.formats import FORMATS, Format, usage
from growlab.export.programs.recording import write_program
from growlab.export.record import TrialRecord, read_record
from growlab.export.trained import read_trained
from growlab.files import sha256_of, write_atomically
from growlab.model.language_model import LanguageModel
from growlab.plugins import load_plugins
from growlab.storage import Store, StudyRow

_PROMPT = 12  # characters of the text that the model was tried on: it knows them all
_USAGE = """\
In this folder, where growlab need not be installed:

```python
{example}
```

One program that reads whole texts: `ids` are int64 of shape (batch, tokens), `logits` fp32 of shape (batch, tokens,
{vocab_size}), for any batch and any length from 1 on. All texts of a batch are equally long. In training it saw
{seq_len} tokens at once."""


def export_trial(
    store: Store,
    study_row: StudyRow,
    number: int | None,
    artifact_root: Path,
    target: Path,
    *,
    to: str,
    force: bool = False,
    plugins: Sequence[Path] = (),
) -> Path:
    """Write trial `number`, or with None the best completed one, into the new folder `target`, and return it.

    The folder appears whole and checked, or not at all; with `force` in the place of an earlier export. Raises what
    growlab.export.bundle raises, NotExportable for a layout of which there is no program in the format `to`, and
    DataError for a tokenizer that the package tokenizers could not have exactly.
    """
    load_plugins(plugins)
    record, into = read_record(store, study_row, number), FORMATS[to]
    model, tokenizer = read_trained(store, record, artifact_root)
    with whole_folder(target, force=force) as folder:
        write_program(model, into, folder / into.file)
        require_equal(folder / into.file, into, model)
        _write_tokenizer(folder, tokenizer)
        _write_about(folder, record, model, into, store)
    return target


def _write_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    """Write it as the package tokenizers reads it, with no id but the model's own; nothing of bare ids."""
    if (files := tokenizer_files(tokenizer)) is not None:
        added = [token for token in files.tokenizer["added_tokens"] if token["id"] < tokenizer.vocab_size]
        text = json.dumps(files.tokenizer | {"added_tokens": added}, ensure_ascii=False, indent=2)
        write_atomically(folder / TOKENIZER, f"{text}\n".encode())


def _write_about(folder: Path, record: TrialRecord, model: LanguageModel, format: Format, store: Store) -> None:
    """Write what growlab knows of the trial beside the program: config.yaml, metrics.csv and the card."""
    write_metrics(folder, store.metrics(record.trial.id))
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    write_config(folder, record, str(model.layout), model.vocab_size, files)
    how = _USAGE.format(
        example=usage(format, prompt=record.trial.sample[:_PROMPT] if TOKENIZER in files else ""),
        vocab_size=model.vocab_size,
        seq_len=record.spec.train.seq_len,
    )
    described = {
        format.file: f"the model with its weights, a program of {format.name}",
        f"{format.file}.data": "its weights",
        TOKENIZER: "the tokenizer, for the package tokenizers",
        CONFIG: "the layout, the result and all that runs the trial again",
        METRICS: "the whole course of training: step, split, name, value",
    }
    described = {name: what for name, what in described.items() if name in files or name == CONFIG}
    card = model_card(record, str(model.layout), described, library=format.runtime, usage=how)
    write_atomically(folder / CARD, card.encode())
