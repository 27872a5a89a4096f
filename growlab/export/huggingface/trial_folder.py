"""A trial of a study as a folder for transformers, checked before it appears."""

from collections.abc import Sequence
from pathlib import Path

from growlab.export.bundle import write_config, write_metrics
from growlab.export.card import model_card
from growlab.export.contents import CARD, CONFIG, METRICS
from growlab.export.folder import whole_folder
from growlab.export.huggingface.checking import require_equal
from growlab.export.huggingface.model_folder import FILES, TOKENIZER_CONFIG, write_model
from growlab.export.record import TrialRecord, read_record
from growlab.export.trained import read_trained
from growlab.files import sha256_of, write_atomically
from growlab.model.language_model import LanguageModel
from growlab.plugins import load_plugins
from growlab.storage import Store, StudyRow

_USAGE = """\
With the package [transformers](https://huggingface.co/docs/transformers) alone, growlab need not be installed:

```python
from transformers import AutoModelForCausalLM{and_tokenizer}

model = AutoModelForCausalLM.from_pretrained(FOLDER, trust_remote_code=True)
{write}
```

`trust_remote_code` runs `modeling_growlab.py`, which lies in this folder: read it first. Batches of prompts of unequal
lengths, beam search and `generate` with a cache give what each prompt gives by itself."""

_WITH_TOKENIZER = """\
tokenizer = AutoTokenizer.from_pretrained(FOLDER, trust_remote_code=True)
prompts = tokenizer(["The "], return_tensors="pt", padding=True)
print(tokenizer.batch_decode(model.generate(**prompts, max_new_tokens=100, do_sample=True)))"""
_WITHOUT = "model.generate(input_ids, max_new_tokens=100)  # ids: there is no text that they stand for"


def export_trial(
    store: Store,
    study_row: StudyRow,
    number: int | None,
    artifact_root: Path,
    target: Path,
    *,
    force: bool = False,
    plugins: Sequence[Path] = (),
) -> Path:
    """Write trial `number`, or with None the best completed one, into the new folder `target`, and return it.

    The folder appears whole and checked, or not at all; with `force` in the place of an earlier export. Raises what
    growlab.export.bundle raises, PluginError for a kind from outside whose source cannot be taken out, and DataError
    for a tokenizer that cannot be had exactly.
    """
    load_plugins(plugins)
    record = read_record(store, study_row, number)
    model, tokenizer = read_trained(store, record, artifact_root)
    with whole_folder(target, force=force) as folder:
        write_model(folder, model, tokenizer, record.spec.train.seq_len)
        require_equal(folder, model)
        _write_about(folder, record, model, store)
    return target


def _write_about(folder: Path, record: TrialRecord, model: LanguageModel, store: Store) -> None:
    """Write what growlab knows of the trial beside what transformers reads: config.yaml, metrics.csv and the card."""
    write_metrics(folder, store.metrics(record.trial.id))
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    write_config(folder, record, str(model.layout), model.vocab_size, files)
    has_tokenizer = TOKENIZER_CONFIG in files
    usage = _USAGE.format(
        and_tokenizer=", AutoTokenizer" if has_tokenizer else "", write=_WITH_TOKENIZER if has_tokenizer else _WITHOUT
    )
    described = {
        **{name: what for name, what in FILES.items() if name in files},
        CONFIG: "of growlab: the layout, the result and all that runs the trial again",
        METRICS: "of growlab: the whole course of training: step, split, name, value",
    }
    card = model_card(record, str(model.layout), described, library="transformers", usage=usage)
    write_atomically(folder / CARD, card.encode())
