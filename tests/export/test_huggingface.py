"""An exported folder is, with transformers alone, the model that growlab has: every kind, nest, front end and head."""

import json
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save, save_file

from growlab.data import ByteTokenizer, load_corpus
from growlab.errors import CheckpointError, LayoutError, SpecError
from growlab.export.huggingface.checking import load_exported
from growlab.export.huggingface.model_folder import write_model
from growlab.export.load import load_bundle
from growlab.kinds import KINDS, Kind, block_kinds
from growlab.layout import parse, walk
from growlab.model.decoding import Sampling, generate
from growlab.model.language_model import LanguageModel, build_model
from growlab.study.column import trial_spec_from_mapping

PADS, N_NEW = (0, 5, 9), 5  # as clean_process.py has them
EXACT = 2e-5  # of the largest logit

SMALL = "d=16 attn mlp"
LARGE = (  # of every kind
    "d=16 front=patch attn[heads_per_kv=2,qk_norm=true,gate=true] swa[window=5] conv mlp[activation=gelu] mamba "
    "mamba2[d_state=4] ssm hebbian[plasticity=0.5] hebbian[delta=true] mlp hopfield hopfield[incremental=true] moe "
    "mix(attn,ssm) router(conv) act[most=2](attn mlp) loop(conv mlp) head=hebbian_head[scale=1.0]"
)
NESTED = [
    "mix(conv,attn[n_heads=2],mamba2[d_state=4]) mlp",
    "router[ponder=0.0](mlp) attn[gate=true]",
    "act[most=2](router(conv) mix(attn,ssm) mlp)",
    "loop[times=3](router(conv) loop[gradient=last](mix(attn,ssm)) mlp)",
    "act[most=2](loop[gradient=last](conv mlp))",
    "mix(loop(attn mlp),ssm)",
]


def model_of(layout: str, *, grows: bool = False) -> LanguageModel:
    """A model whose weights are twice their initial size: those would agree with anything."""
    model = build_model(parse(layout), vocab_size=256, max_depth=4, dropout=0.0, seed=0).eval()
    if grows:
        torch.manual_seed(1)
        model.insert_unit(1, model.make_unit(model.blocks_of(model.units[-1])))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model.eval()


@torch.no_grad()
def expect(folder: Path, model: LanguageModel, **texts: torch.Tensor) -> dict[str, Any]:
    """Write down what growlab's own model makes of some ids; return what it writes after prompts, and its loss."""
    ids = torch.randint(model.vocab_size, (3, 24), generator=torch.Generator().manual_seed(0))
    save_file({"ids": ids, "logits": model(ids), **texts}, folder / "expected.safetensors")
    prompts = [ids[row, pad:16].tolist() for row, pad in enumerate(PADS)]
    written = [list(generate(model, prompt, N_NEW, Sampling(temperature=0), seed=0)) for prompt in prompts]
    return {"written": written, "loss": float(model.loss(ids[:, :-1], ids[:, 1:]))}


def write_case(folder: Path, model: LanguageModel, *, thorough: bool = True) -> dict[str, Any]:
    folder.mkdir(parents=True)
    write_model(folder, model, ByteTokenizer(), seq_len=16)
    if thorough:
        (folder / "thorough").touch()
    return expect(folder, model)


def read_cleanly(folders: Path, *words: str) -> dict[str, dict[str, Any]]:
    """What a process without growlab finds of the exports in a folder; with words, growlab's command after that."""
    script, packages = Path(__file__).with_name("clean_process.py"), sysconfig.get_path("purelib")
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(script), packages, str(folders), *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout.splitlines()[-1])
    print(done.stderr)
    assert not last["has_growlab"]
    found: dict[str, dict[str, Any]] = last["found"]
    return found


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found["whole"] <= EXACT
    assert found["in_steps"] <= EXACT
    assert found["padded"] <= EXACT
    assert found["loss"] == pytest.approx(expected["loss"], rel=EXACT)
    if "written" in found:
        for how in ("written", "together", "without_cache", "saved_again"):
            assert found[how] == expected["written"], how
        assert found["beams"]


@pytest.mark.slow  # half a minute, most of it transformers' start in two processes
def test_a_model_of_every_kind_is_the_same_without_growlab_and_so_is_a_trial_that_was_exported(
    lab: Any, exported: Path, tmp_path: Path, repository: Path
) -> None:
    layout = parse(LARGE)
    named = {spec.kind for block in (*layout.blocks, layout.front, layout.head) for spec in walk(block)}
    assert named == set(KINDS), "a new kind belongs into LARGE"
    expected = {
        "large": write_case(tmp_path / "cases" / "large", model_of(LARGE), thorough=False),
        "grown": write_case(tmp_path / "cases" / "grown", model_of(SMALL, grows=True)),
    }
    options = ("--storage", lab.store.url, "--artifacts", str(lab.artifacts))

    found = read_cleanly(
        tmp_path / "cases", str(repository), "export", "tiny", str(tmp_path / "trial"), "--to", "hf", *options
    )

    for name in expected:
        assert_same(found[name], expected[name])
    config = json.loads((tmp_path / "trial" / "config.json").read_text())
    assert config["layout"] == yaml.safe_load((exported / "config.yaml").read_text())["layout"]
    assert {path.name for path in (tmp_path / "trial").iterdir()} == {
        *("modeling_growlab.py", "config.json", "generation_config.json", "model.safetensors"),
        *("tokenizer.json", "tokenizer_config.json", "config.yaml", "metrics.csv", "README.md"),
    }


@pytest.mark.slow
def test_every_option_of_every_kind_is_the_same_without_growlab_grown_and_not(tmp_path: Path) -> None:
    expected = {}
    for at, layout in enumerate(every_layout()):
        expected[f"{at}-born"] = write_case(tmp_path / f"{at}-born", model_of(layout), thorough=False)
        if "[" not in layout:  # a kind with its defaults, a nest of such
            expected[f"{at}-grown"] = write_case(tmp_path / f"{at}-grown", model_of(layout, grows=True))

    found = read_cleanly(tmp_path)

    assert sum(name.endswith("grown") for name in expected) >= len(KINDS)
    for name in expected:
        assert_same(found[name], expected[name])


@pytest.mark.slow
def test_a_trained_trial_has_its_reported_loss_and_text_without_growlab(
    exported: Path, lab: Any, tmp_path: Path
) -> None:
    from growlab.export.huggingface.trial_folder import export_trial

    bundle = load_bundle(exported, torch.device("cpu"))
    folder = export_trial(lab.store, lab.study_row, None, lab.artifacts, tmp_path / "cases" / "trial")
    val = load_corpus(trial_spec_from_mapping(bundle.config["trial_spec"]).data).val
    (folder / "thorough").touch()
    expected = expect(folder, bundle.model, val=torch.as_tensor(val.astype("int64")))

    [found] = read_cleanly(tmp_path / "cases").values()

    assert_same(found, expected)
    assert found["val_loss"] == pytest.approx(bundle.config["result"]["val_loss"], abs=1e-5)
    with pytest.raises(SpecError, match=r"exported for transformers.*trial/README\.md says how.*growlab export tiny"):
        load_bundle(folder, torch.device("cpu"))


@pytest.mark.slow
def test_the_example_of_the_documents_runs_as_it_stands_without_growlab(tmp_path: Path, repository: Path) -> None:
    write_case(tmp_path / "best-hf", model_of(SMALL))
    [example] = re.findall(r"```python\n(.*?)```", (repository / "docs" / "export.md").read_text(), flags=re.DOTALL)
    packages = f"import os, sys; sys.path.append({sysconfig.get_path('purelib')!r}); os.environ['HF_HOME'] = 'cache'\n"
    code = f"{packages}{example}\nprint(len(texts), texts[0].startswith('The '), 'growlab' in sys.modules, float(loss))"

    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    *said, loss = done.stdout.split()
    assert said == ["2", "True", "False"]
    assert 4 < float(loss) < 8


@pytest.mark.slow
def test_narrow_weights_and_gradients_of_every_kind(tmp_path: Path) -> None:
    """In this process, as it needs the exported file alone."""
    for at, layout in enumerate([LARGE, *(f"d=16 {nested}" for nested in NESTED)]):
        folder = tmp_path / str(at)
        write_case(folder, model_of(layout))
        expected = load_file(folder / "expected.safetensors")
        for dtype, tolerance in ((torch.bfloat16, 0.3), (torch.float16, 0.05)):
            narrow = load_exported(folder, dtype=dtype)
            with torch.no_grad():
                found = narrow(expected["ids"], use_cache=False).logits.float()
            assert (found - expected["logits"]).abs().mean() <= tolerance * expected["logits"].abs().mean()
        model = load_exported(folder).train()
        ids, present = expected["ids"], torch.ones_like(expected["ids"])
        present[0, :5] = present[1, -3:] = 0
        model(ids, attention_mask=present, labels=ids.masked_fill(present == 0, -100)).loss.backward()
        without = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
        assert without == []


@pytest.mark.slow
def test_what_the_model_cannot_do_is_refused_in_words(tmp_path: Path) -> None:
    write_case(tmp_path / "small", model_of(SMALL))
    model = load_exported(tmp_path / "small")
    ids = torch.arange(8)[None]

    with pytest.raises(ValueError, match="reads input_ids, not inputs_embeds"):
        model(inputs_embeds=torch.zeros(1, 3, 16))
    with pytest.raises(ValueError, match=r"attention_mask must be \(batch, tokens\), got \(1, 1, 8, 8\)"):
        model(ids, attention_mask=torch.ones(1, 1, 8, 8))
    with pytest.raises(ValueError, match="past_key_values is of 1 sequences, input_ids of 2"):
        model(ids.expand(2, -1), past_key_values=model(ids).past_key_values)
    with pytest.raises(ValueError, match="this model has a cache of its own; leave cache_implementation out"):
        model.generate(ids, cache_implementation="static", max_new_tokens=2)
    with pytest.raises(ValueError, match="not supported with stateful models"):
        model.generate(ids, assistant_model=model, max_new_tokens=2)
    with pytest.raises(NotImplementedError, match="cannot forget its last tokens"):
        model(ids).past_key_values.crop(1)


@pytest.mark.slow
def test_an_export_whose_weights_are_off_does_not_appear(
    lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from growlab.export.huggingface import model_folder
    from growlab.export.huggingface.trial_folder import export_trial

    monkeypatch.setattr(
        model_folder, "save", lambda weights, **how: save({k: 2 * w for k, w in weights.items()}, **how)
    )

    with pytest.raises(CheckpointError, match="the exported model reads a whole text otherwise than the trained one"):
        export_trial(lab.store, lab.study_row, None, lab.artifacts, tmp_path / "out")

    assert not (tmp_path / "out").exists()


def every_layout() -> list[str]:
    """Each kind with its defaults and with each value that a search draws, nests, and parts around a small model."""
    blocks = [f"d=32 {spec} mlp" for name in block_kinds() for spec in _variants(KINDS[name])]
    parts = [name for name, kind in KINDS.items() if kind.role in ("front", "head")]
    around = [_around(KINDS[name], str(spec)) for name in parts for spec in _variants(KINDS[name])]
    return [*blocks, *(f"d=32 {nested}" for nested in NESTED), *around]


def _variants(kind: Kind) -> Iterable[Any]:
    fields = kind.option_fields().items()
    others = (
        replace(kind.example, options=((name, value),))
        for name, field in fields
        for value in field.metadata["search"]
        if value != field.default
    )
    return (spec for spec in chain([kind.example], others) if _fits(kind, spec))


def _around(kind: Kind, part: str) -> str:
    return f"d=32 front={part} attn mlp" if kind.role == "front" else f"d=32 mamba mlp head={part}"


def _fits(kind: Kind, spec: Any) -> bool:
    try:
        kind.read_options(spec, 32)
    except LayoutError:
        return False
    return True
