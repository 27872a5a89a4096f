"""Bits per byte of a real model on a Turkish text, by each way to read it, against a computation by hand."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from growlab.data import ByteLevelTokenizer, ByteTokenizer, CharTokenizer, Corpus, load_corpus
from growlab.layout import parse
from growlab.model.language_model import build_model
from growlab.scalar import with_defaults
from growlab.specs import DataSpec
from growlab.training.evaluation import bits_per_byte, evaluate

SEQ_LEN = 16
TEXT = "".join(
    f"{number}. gün: Çiğdem ışıklı bahçede üç ağaç gördü; İğde, söğüt ve şeftali… Öğlen yağmur yağdı, dönüş güçtü.\n"
    for number in range(60)
)


@pytest.fixture
def ways(tmp_path: Path) -> dict[str, dict[str, object]]:
    """The same text as a file, as JSON lines and as ids; a data section for each, by each tokenizer."""
    pytest.importorskip("tokenizers")
    (tmp_path / "a.txt").write_bytes(TEXT.encode())
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"body": line}) + "\n" for line in TEXT.split("\n")))
    CharTokenizer.for_text(TEXT).save(tmp_path / "char.json")
    CharTokenizer.for_text(TEXT).encode(TEXT).astype("<u2").tofile(tmp_path / "a.bin")
    ByteLevelTokenizer.learn([TEXT], 320).save(tmp_path / "pairs.json")
    text = {"path": str(tmp_path / "a.txt")}
    return {
        "char": text,
        "byte": text | {"tokenizer": "byte"},
        "bpe": text | {"tokenizer": "bpe", "vocab_size": 300},
        "file": text | {"tokenizer": "file", "tokenizer_path": str(tmp_path / "pairs.json")},
        "jsonl": {"source": "jsonl", "path": str(tmp_path / "a.jsonl"), "column": "body"},
        "bin": {
            "source": "bin",
            "path": str(tmp_path / "a.bin"),
            "tokenizer": "file",
            "tokenizer_path": str(tmp_path / "char.json"),
        },
    }


@pytest.mark.parametrize("way", ["char", "byte", "bpe", "file", "jsonl", "bin"])
def test_bits_per_byte_agree_with_a_computation_by_hand(
    ways: dict[str, dict[str, object]], by_hand: Callable[[Corpus, str], float], way: str
) -> None:
    corpus = load_corpus(with_defaults(DataSpec, **ways[way], val_fraction=0.1))
    model = a_model(corpus)

    evaluation = evaluate(
        model, corpus.val, seq_len=SEQ_LEN, batch_size=8, precision="fp32", device=torch.device("cpu")
    )

    assert bits_per_byte(evaluation.loss, corpus.val_bytes_per_token) == pytest.approx(
        by_hand(corpus, held_out(way)), rel=1e-5
    )


def held_out(way: str) -> str:
    """The validation slice: the last tenth of the first nine tenths, in characters; in bytes for the byte tokenizer."""
    units = list(TEXT.encode()) if way == "byte" else list(TEXT)
    before_test = len(units) * 9 // 10
    val = units[before_test * 9 // 10 : before_test]
    return bytes(val).decode(errors="strict") if way == "byte" else "".join(val)


@pytest.fixture
def by_hand() -> Callable[[Corpus, str], float]:
    """-log2 of the probability of each token but the first, one after the other in fp64, over the UTF-8 bytes of
    the slice without its first token."""

    def compute(corpus: Corpus, text: str) -> float:
        ids = corpus.tokenizer.encode(text).tolist()
        model, bits = a_model(corpus).double().eval(), 0.0
        with torch.no_grad():
            for at in range(1, len(ids)):
                window = ids[(at - 1) // SEQ_LEN * SEQ_LEN : at]
                probs_V = torch.softmax(model(torch.tensor([window]))[0, -1], dim=-1)
                bits -= math.log2(probs_V[ids[at]])
        first = ids[:1]
        return bits / (len(text.encode()) - len(corpus.tokenizer.to_bytes(first)))

    return compute


def a_model(corpus: Corpus) -> torch.nn.Module:
    model = build_model(
        parse("d=8 attn[n_heads=2] mlp"), vocab_size=corpus.tokenizer.vocab_size, max_depth=2, dropout=0.0, seed=0
    )
    for parameter in model.parameters():  # far from a uniform guess, so that the tokens' losses differ
        parameter.data *= 5
    return model


def test_a_uniform_guess_among_bytes_costs_eight_bits() -> None:
    assert bits_per_byte(math.log(ByteTokenizer().vocab_size), 1.0) == pytest.approx(8)


def test_all_ways_but_bytes_hold_out_the_same_text(ways: dict[str, dict[str, object]]) -> None:
    for way in ("char", "bpe", "file", "jsonl", "bin"):
        corpus = load_corpus(with_defaults(DataSpec, **ways[way], val_fraction=0.1))

        assert isinstance(corpus.val, np.memmap)
        assert corpus.tokenizer.decode(corpus.val) == held_out("char")
