"""growlab's bits per byte against a computation by hand, on the held-out slice of a text, by byte, char and bpe.

    python benchmarks/bits_per_byte.py CORPUS [--bytes N]

growlab     one small trial, from study to export; the figure is that of its config.yaml
by hand     of growlab only the exported model and tokenizer.json: the slice is cut from the text and encoded here,
            and -log2 p of each token but the first, which nothing predicts, is summed in float64, over the bytes
            of UTF-8 that these tokens stand for

Ends with 1 if the two differ by more than 1e-6 of the figure.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer

from growlab.export.load import load_bundle

TOLERANCE = 1e-6
SEQ_LEN = 64
WAYS = {"byte": {}, "char": {}, "bpe": {"vocab_size": 1000}}
STUDY = {
    "n_trials": 1,
    "layouts": {
        "blocks": ["attn", "conv", "mlp"],
        "d_model": 64,
        "depth": [4, 4],
        "start_with": ["d=64 conv mlp attn[n_heads=2] mlp"],
    },
    "train": {"batch_size": 16, "seq_len": SEQ_LEN, "eval_every": 300},
    "budget": {"steps": 300},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, help="a text in UTF-8")
    parser.add_argument("--bytes", type=int, default=-1, help="so many of its beginning; default: all")
    asked = parser.parse_args()
    with asked.corpus.open("rb") as file:
        text = file.read(asked.bytes).decode("utf-8-sig", errors="ignore").replace("\r\n", "\n")
    print(f"{asked.corpus.name}, {len(text.encode()):,} bytes; torch {torch.__version__}\n")
    print("tokenizer  val tokens  val bytes       growlab       by hand  difference")
    worst = max(compare(text, way) for way in WAYS)
    print(f"\nlargest difference {worst:.1e} of the figure; allowed are {TOLERANCE:.0e}")
    return int(worst > TOLERANCE)


def compare(text: str, way: str) -> float:
    """Print a line of the table and return the relative difference."""
    with tempfile.TemporaryDirectory() as folder:
        exported = train(text, way, Path(folder))
        bundle = load_bundle(exported, torch.device("cpu"))
        slice_ = held_out(text, way)
        ids, n_first = encode(slice_, exported / "tokenizer.json")
    by_hand = bits(bundle.model.double(), torch.tensor(ids)) / (len(slice_) - n_first)
    growlab = bundle.config["result"]["bits_per_byte"]
    difference = abs(growlab / by_hand - 1)
    print(f"{way:<9}  {len(ids):>10,}  {len(slice_):>9,}  {growlab:>12.9f}  {by_hand:>12.9f}  {difference:>10.1e}")
    return difference


def train(text: str, way: str, folder: Path) -> Path:
    """From the text to an exported model, by the command line alone; seconds."""
    (folder / "corpus.txt").write_bytes(text.encode())
    data = {"path": "corpus.txt", "tokenizer": way, "val_fraction": 0.05, "test_fraction": 0.1, **WAYS[way]}
    (study := folder / "study.yaml").write_text(json.dumps({"name": way, "data": data, **STUDY}))
    places = {"GROWLAB_STORAGE": f"sqlite:///{folder}/growlab.db", "GROWLAB_CACHE": str(folder / "cache")}
    for words in (["study", "run", study, "--device", "cpu"], ["export", way, "-o", folder / "best"]):
        command = [sys.executable, "-m", "growlab", *words]
        ran = subprocess.run(command, env=os.environ | places, capture_output=True, text=True)
        if ran.returncode:
            raise SystemExit(ran.stderr)
    return folder / "best"


# ---- by hand -------------------------------------------------------------------------------------------------


def held_out(text: str, way: str) -> bytes:
    """The last twentieth of what comes before the last tenth, in characters; under byte in bytes."""
    units = text.encode() if way == "byte" else text
    before_test = len(units) * 9 // 10
    val = units[before_test * 19 // 20 : before_test]
    return val if isinstance(val, bytes) else val.encode()


def encode(slice_: bytes, file: Path) -> tuple[list[int], int]:
    """Its ids, and the bytes of the first."""
    definition = json.loads(file.read_bytes())
    match definition.get("type"):
        case "byte":
            return list(slice_), 1
        case "char":
            id_of = {char: at for at, char in enumerate(definition["alphabet"])}
            text = slice_.decode()
            return [id_of[char] for char in text], len(text[0].encode())
    tokenizer = Tokenizer.from_file(str(file))
    ids = tokenizer.encode(slice_.decode()).ids
    return ids, len(tokenizer.id_to_token(ids[0]))  # each character of such a token is one byte


@torch.no_grad()
def bits(model: torch.nn.Module, ids: torch.Tensor) -> float:
    """Of all ids but the first, in windows of SEQ_LEN that know nothing of each other."""
    total = 0.0
    for first in range(0, len(ids) - 1, SEQ_LEN):
        window = ids[first : first + SEQ_LEN + 1]
        log_p = torch.log_softmax(model(window[None, :-1])[0], dim=-1)
        total -= float(log_p[torch.arange(len(window) - 1), window[1:]].sum()) / math.log(2)
    return total


if __name__ == "__main__":
    sys.exit(main())
