"""Load exported folders where growlab is not, with transformers alone, and print as JSON what is found.

    python -I -S clean_process.py SITE_PACKAGES FOLDERS [GROWLAB WORD…]

Each folder in FOLDERS is an export with expected.safetensors beside it: ids and logits of growlab's own model, of a
trained one its validation text too. `-S` keeps an editable growlab off the path. With the folder of GROWLAB, what
follows are words of its command line, run at last, as transformers is loaded here already.
"""

import json
import os
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

sys.path.append(sys.argv[1])
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HOME": tempfile.mkdtemp(), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

PADS, N_NEW = (0, 5, 9), 5  # of the first 16 ids of three rows those that are not there; tokens that are written


def found_in(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).eval()
    expected = load_file(folder / "expected.safetensors")
    ids, logits = expected["ids"], expected["logits"]
    return {
        "whole": off(model(ids, use_cache=False).logits, logits),
        "in_steps": off(in_steps(model, ids), logits),
        "loss": float(model(ids, labels=ids).loss),
        "padded": of_padded(model, ids),
        "val_loss": loss_of(model, expected["val"]) if "val" in expected else None,
        **(of_written(model, ids) if (folder / "thorough").exists() else {}),
    }


def off(found, expected):
    """The largest difference, in the largest of the expected; infinite where a shape differs."""
    return float((found - expected).abs().max() / expected.abs().max()) if found.shape == expected.shape else torch.inf


def in_steps(model, ids):
    """Logits of most tokens at once and then of one after the other."""
    begun = model(ids[:, :-5])
    steps = [begun.logits]
    for t in range(ids.shape[1] - 5, ids.shape[1]):
        steps.append(model(ids[:, t : t + 1], past_key_values=begun.past_key_values).logits)
    return torch.cat(steps, dim=1)


def of_padded(model, ids):
    """The largest difference of a batch of unequal texts from each text by itself, padded left and right."""
    batch, mask = padded(model, ids)
    left = model(batch, attention_mask=mask).logits
    right = model(roll(batch), attention_mask=roll(mask), use_cache=False).logits
    differences = []
    for row, pad in enumerate(PADS):
        alone = model(ids[row : row + 1, pad:16], use_cache=False).logits[0]
        differences += [off(left[row, pad:], alone), off(right[row, : 16 - pad], alone)]
    return max(differences)


def padded(model, ids):
    mask = torch.stack([torch.arange(16) >= pad for pad in PADS]).long()
    return torch.where(mask.bool(), ids[:, :16], model.generation_config.pad_token_id), mask


def roll(batch):
    """Pads that were on the left on the right."""
    return torch.stack([row.roll(-pad) for row, pad in zip(batch, PADS, strict=True)])


def of_written(model, ids):
    """What is written after prompts: each by itself, together, without a cache, in beams, by a model saved again."""
    batch, mask = padded(model, ids)

    def write(by=model, **how):
        how = {"attention_mask": mask, "do_sample": False, "max_new_tokens": N_NEW} | how
        return by.generate(batch, **how)[:, 16:]

    alone = [
        model.generate(ids[row : row + 1, pad:16], do_sample=False, max_new_tokens=N_NEW)[0, 16 - pad :].tolist()
        for row, pad in enumerate(PADS)
    ]
    beams = {"num_beams": 3, "repetition_penalty": 1.3, "no_repeat_ngram_size": 3}
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        again = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True).eval()
    return {
        "written": alone,
        "together": write().tolist(),
        "without_cache": write(use_cache=False).tolist(),
        "saved_again": write(by=again).tolist(),
        "beams": torch.equal(write(**beams), write(**beams, use_cache=False)),
    }


def loss_of(model, text):
    """The mean loss of each token but the first, in windows that do not overlap."""
    length = model.config.max_position_embeddings
    windows = [text[None, at : at + length + 1] for at in range(0, len(text) - 1, length)]
    return sum(float(model(ids, labels=ids).loss) * (ids.shape[1] - 1) for ids in windows) / (len(text) - 1)


def main(folders, growlab="", *words):
    torch.set_num_threads(1)
    with torch.no_grad():
        found = {folder.name: found_in(folder) for folder in sorted(Path(folders).iterdir())}
    has_growlab = find_spec("growlab") is not None
    if growlab:
        run_growlab(growlab, words)
    print(json.dumps({"has_growlab": has_growlab, "found": found}))


def run_growlab(growlab, words):
    """Run `growlab WORDS`; what it has to say goes to stderr."""
    sys.path.append(growlab)
    from growlab.commands import main as command

    sys.argv = ["growlab", *words]
    try:
        command()
    except SystemExit as leaving:
        print("exit code", leaving.code, file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[2:])
