"""A bundle that was read back is the model that was trained; one that was touched is refused."""

import os
import re

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn

from growlab.data import ByteTokenizer, CharTokenizer, load_corpus
from growlab.data.tokenizers import IdTokenizer
from growlab.errors import CheckpointError, DataError, SpecError, UsageError
from growlab.export.load import Bundle, _prompt_ids, as_prompt, generate_text, load_bundle
from growlab.files import sha256_of
from growlab.layout import parse
from growlab.model.decoding import Sampling, generate
from growlab.model.language_model import build_model
from growlab.study.column import trial_spec_from_mapping
from growlab.training.evaluation import evaluate

CPU = torch.device("cpu")
GREEDY = Sampling(temperature=0.0)


@pytest.fixture
def bundle(exported):
    return load_bundle(exported, CPU)


def small_bundle(tokenizer):
    model = build_model(
        parse("d=16 attn[n_heads=2] mlp"), vocab_size=tokenizer.vocab_size, max_depth=2, dropout=0.5, seed=0
    )
    return Bundle(model=model, tokenizer=tokenizer, config={})


def edit_config(folder, **changes):
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


# ---- reading back ----------------------------------------------------------------------------------------------


def test_a_loaded_model_has_the_recorded_validation_loss(bundle):
    spec = trial_spec_from_mapping(bundle.config["trial_spec"])
    evaluation = evaluate(
        bundle.model,
        load_corpus(spec.data).val,
        seq_len=spec.train.seq_len,
        batch_size=spec.train.batch_size,
        precision=spec.train.precision,
        device=CPU,
    )

    assert evaluation.loss == pytest.approx(bundle.config["result"]["val_loss"], abs=1e-6)


def test_a_loaded_model_is_the_grown_one_and_ready_to_be_used(bundle):
    assert str(bundle.model.layout) == bundle.config["layout"]
    assert bundle.model.layout.depth == 4
    assert not bundle.model.training


def test_loading_leaves_the_random_numbers_alone(exported):
    torch.manual_seed(3)
    expected = torch.rand(1)

    torch.manual_seed(3)
    load_bundle(exported, CPU)

    assert torch.rand(1) == expected


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_flipped_bit_is_noticed(exported, name):
    content = bytearray((exported / name).read_bytes())
    content[-2] ^= 1
    (exported / name).write_bytes(content)

    with pytest.raises(CheckpointError, match=rf"{name} is damaged: its sha256 is not the recorded .*; export the"):
        load_bundle(exported, CPU)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(exported, name):
    (exported / name).unlink()

    with pytest.raises(CheckpointError, match=rf"{name} is missing; export the trial again"):
        load_bundle(exported, CPU)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(SpecError, match=rf"{re.escape(str(tmp_path))}/config.yaml: no such file; give a folder that"):
        load_bundle(tmp_path, CPU)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layout": None}, "config.yaml: layout: must be a text, got None"),
        ({"vocab_size": "many"}, "config.yaml: vocab_size: must be a whole number, got 'many'"),
        ({"files": {}}, "config.yaml: files.model.safetensors: is missing"),
        ({"vocab_size": 7}, r"config.yaml: vocab_size is 7, but tokenizer.json has \d+ tokens"),
        ({"layout": "d=16 atention"}, "config.yaml: unknown block kind 'atention'"),
        ({"layout": "d=16 mlp"}, "model.safetensors does not fit the layout in config.yaml"),
    ],
)
def test_a_config_that_was_edited_is_refused_with_the_place(exported, changes, words):
    edit_config(exported, **changes)

    with pytest.raises((SpecError, CheckpointError), match=words):
        load_bundle(exported, CPU)


def test_an_export_for_transformers_says_who_reads_it_and_how_growlab_gets_its_own(exported):
    edit_config(exported, files={"config.json": "", "model.safetensors": "", "tokenizer.json": ""})

    with pytest.raises(SpecError, match=r"exported for transformers, .*README\.md says how; growlab reads") as refused:
        load_bundle(exported, CPU)

    assert str(refused.value).endswith("growlab export tiny --trial 0 -o DIR")


@pytest.mark.parametrize("name", ["config.yaml", "model.safetensors", "tokenizer.json"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(exported, name):
    (exported / name).unlink()
    os.mkfifo(exported / name)

    message = rf"{name}.*: it is a pipe or a device, not a regular file; "
    with pytest.raises((SpecError, CheckpointError), match=message):
        load_bundle(exported, CPU)

    (exported / name).unlink()
    (exported / name).symlink_to("/dev/zero")
    with pytest.raises((SpecError, CheckpointError), match=message):
        load_bundle(exported, CPU)


@pytest.mark.parametrize("text", ["a: &a [*a]", "[" * 5_000, "seed: " + "9" * 5_000, "#" * 256_001])
def test_a_hostile_config_is_refused_with_its_place(exported, text):
    (exported / "config.yaml").write_text(text)

    with pytest.raises(SpecError, match=r"/config\.yaml: .*; give a folder that growlab export wrote"):
        load_bundle(exported, CPU)


@pytest.mark.parametrize("header", ["[]", "{", "[" * 100_000])
def test_a_model_with_the_right_hash_and_a_wrong_header_is_refused(exported, header):
    path = exported / "model.safetensors"
    save_file(load_file(path), path, {"growlab": header})
    edit_config(
        exported, files=yaml.safe_load((exported / "config.yaml").read_text())["files"] | {path.name: sha256_of(path)}
    )

    with pytest.raises(
        CheckpointError, match=r"model\.safetensors is no growlab checkpoint: its header must be a JSON"
    ):
        load_bundle(exported, CPU)


# ---- writing text ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "read"),
    [("text", "one\ntwo"), ("tiny-shakespeare", "one\ntwo"), ("jsonl", "one\r\ntwo"), (None, "one\r\ntwo")],
)
def test_a_prompt_is_read_as_the_corpus_was(source, read):
    bundle = small_bundle(CharTokenizer.for_text(f"abc{read}"))
    config = {"trial_spec": {"data": {"source": source}}} if source else {}
    bundle = Bundle(model=bundle.model, tokenizer=bundle.tokenizer, config=config)

    assert as_prompt(bundle, "\ufeffone\r\ntwo") == read
    texts = ["".join(generate_text(bundle, prompt, 9, GREEDY, 0)) for prompt in ("\ufeffone\r\ntwo", read)]
    assert texts[0] == texts[1]


def test_it_writes_as_many_characters_as_asked_for(bundle):
    text = "".join(generate_text(bundle, "7 squared", 30, Sampling(), seed=0))

    assert len(text) == 30
    assert set(text) <= set(bundle.tokenizer.alphabet)


def test_a_seed_makes_it_reproducible(bundle):
    def write(seed):
        return "".join(generate_text(bundle, "7", 40, Sampling(), seed))

    assert write(1) == write(1)
    assert write(1) != write(2)


def test_one_candidate_is_the_same_as_no_temperature(bundle):
    greedy = list(generate_text(bundle, "7", 40, GREEDY, seed=0))

    assert list(generate_text(bundle, "7", 40, Sampling(top_k=1), seed=1)) == greedy


def test_without_a_prompt_it_goes_on_as_after_a_newline(bundle):
    assert list(generate_text(bundle, "", 20, GREEDY, 0)) == list(generate_text(bundle, "\n", 20, GREEDY, 0))


def test_where_there_is_no_newline_it_starts_from_the_first_token():
    bundle = small_bundle(CharTokenizer.for_text("abc"))

    assert list(generate_text(bundle, "", 20, GREEDY, 0)) == list(generate_text(bundle, "a", 20, GREEDY, 0))


def test_a_prompt_with_unknown_characters_is_refused_before_anything_is_written(bundle):
    with pytest.raises(DataError, match="cannot encode 'é': not among the"):
        generate_text(bundle, "é", 20, GREEDY, 0)


class Parrot(nn.Module):
    """A byte-level model that says one text, over and over."""

    def __init__(self, text):
        super().__init__()
        self.embedding = nn.Embedding(256, 1)
        self.said = text.encode()

    def initial_state(self, batch):
        return 0

    def advance(self, ids_BT, at):
        return torch.nn.functional.one_hot(torch.tensor([[self.said[at % len(self.said)]]]), 256), at + 1


def test_bytes_become_whole_characters():
    text = "größer 10 € 🙂"
    bundle = Bundle(model=Parrot(text), tokenizer=ByteTokenizer(), config={})

    assert list(generate_text(bundle, "", len(text.encode()), GREEDY, 0)) == list(text)


def test_a_text_ends_before_a_stop_string_that_comes_in_pieces():
    bundle = Bundle(model=Parrot("1 €: no. Stop here"), tokenizer=ByteTokenizer(), config={})

    assert "".join(generate_text(bundle, "", 40, GREEDY, 0, ["Stop", "€€"])) == "1 €: no. "
    with pytest.raises(UsageError, match="a stop string needs at least one character"):
        generate_text(bundle, "", 40, GREEDY, 0, [""])


def test_half_a_character_at_the_end_is_shown_as_such():
    bundle = Bundle(model=Parrot("a€"), tokenizer=ByteTokenizer(), config={})

    assert list(generate_text(bundle, "", 3, GREEDY, 0)) == ["a", "\N{REPLACEMENT CHARACTER}"]


@pytest.mark.parametrize("seed", range(5))
def test_the_pieces_of_any_bytes_are_together_what_the_tokenizer_decodes(seed):
    bundle = small_bundle(ByteTokenizer())
    ids = list(generate(bundle.model, [ord("\n")], 60, Sampling(), seed=seed))

    assert "".join(generate_text(bundle, "", 60, Sampling(), seed)) == ByteTokenizer().decode(ids)


@pytest.mark.parametrize("prompt", ["", " "])
def test_a_model_of_bare_ids_begins_with_the_first_where_the_prompt_names_none(prompt: str) -> None:
    assert _prompt_ids(IdTokenizer(5), prompt) == [0]
    assert _prompt_ids(IdTokenizer(5), "3 1") == [3, 1]
