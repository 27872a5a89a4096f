"""Does a trained model with a Hebbian head expect more and more what it has seen in a session?

    python benchmarks/session.py BUNDLE [N]

BUNDLE is what growlab export wrote of a trial whose layout has head=hebbian_head. N pairs of tokens A → B, 50 unless
told, are drawn from a seed. Each is repeated in a session of its own, among other tokens; P(B | A) is read each time
that A comes: with the head as it was trained, and with its scale set to 0. A fresh session has seen nothing.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch

from growlab.blocks.hebbian_head import HebbianHead
from growlab.export.load import load_bundle
from growlab.model.language_model import LanguageModel

N_TIMES = 8  # that a pair is repeated
N_BETWEEN = 3  # other tokens behind each


def main(folder: Path, n_pairs: int = 50) -> None:
    torch.set_num_threads(1)
    model = load_bundle(folder, torch.device("cpu")).model.eval()
    head = model.head
    assert isinstance(head, HebbianHead), "the layout has no head=hebbian_head"
    generator = torch.Generator().manual_seed(0)
    pairs = [torch.randint(model.vocab_size, (2 + N_BETWEEN,), generator=generator).tolist() for _ in range(n_pairs)]
    for scale in (head.options.scale, 0.0):
        head.options = replace(head.options, scale=scale)
        chances = torch.tensor([chances_of_b(model, *pair) for pair in pairs]).double()
        rises = (chances[:, -1] > chances[:, 0]).double().mean().item()
        means = "  ".join(f"{each:.2e}" for each in chances.log().mean(0).exp().tolist())
        print(f"scale {scale}: geometric mean of P(B|A) at each return  {means}; {rises:.0%} of {n_pairs} pairs rise")
        fresh = torch.tensor([chances_of_b(model, *pair)[0] for pair in pairs]).double()
        assert torch.equal(fresh, chances[:, 0]), "a fresh session has seen nothing"


@torch.no_grad()
def chances_of_b(model: LanguageModel, a: int, b: int, *others: int) -> list[float]:
    """P(B | A) each time that A has come."""
    states, chances = model.initial_state(1), []
    for _ in range(N_TIMES):
        logits_BTV, states = model.advance(torch.tensor([[a]]), states)
        chances.append(logits_BTV[0, -1].double().softmax(-1)[b].item())
        _, states = model.advance(torch.tensor([[b, *others]]), states)
    return chances


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
