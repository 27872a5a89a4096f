"""The loss of a large vocabulary, forwards and backwards, by its definition and by its kernel.

    python benchmarks/gpu/large_vocabulary.py CORPUS OUT.jsonl

16,384 tokens (64 x 256) of a stream of width 768 against vocabularies of 16,384 to 65,536 in bf16: milliseconds of the
head's products and the loss together, medians of 20, one form after the other within a run; and the most memory that
was allocated beside what stood there before. The corpus is not read: the usage is that of the other scripts.
"""

import statistics
from collections.abc import Callable

import torch
import torch.nn.functional as F
from rows import Rows, about, parser_of
from torch import Tensor

from growlab.data.batches import IGNORED
from growlab.model.cross_entropy import DOOR

TOKENS, WIDTH, N_TIMES = 16_384, 768, 20


def both_passes(loss_of: Callable[..., Tensor], x: Tensor, weight: Tensor, targets: Tensor) -> None:
    with torch.autocast("cuda", dtype=torch.bfloat16):
        loss = loss_of(F.linear(x, weight), targets, IGNORED)
    loss.backward()
    x.grad = weight.grad = None


def milliseconds(work: Callable[[], None]) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    work()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end)


def compare(vocab_size: int) -> dict[str, object]:
    x = torch.randn(TOKENS, WIDTH, device="cuda", requires_grad=True)
    weight = (0.02 * torch.randn(vocab_size, WIDTH, device="cuda")).requires_grad_()
    targets = torch.randint(vocab_size, (TOKENS,), device="cuda")
    found: dict[str, list[float]] = {"definition": [], "kernel": []}
    memory = {}
    for _ in range(3 + N_TIMES):
        for name, form in (("definition", DOOR.definition), ("kernel", DOOR.kernel())):
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            found[name].append(milliseconds(lambda form=form: both_passes(form, x, weight, targets)))
            memory[name] = torch.cuda.max_memory_allocated() - before
    ms = {name: statistics.median(times[3:]) for name, times in found.items()}
    return {
        **{f"{name}_ms": round(value, 3) for name, value in ms.items()},
        "ratio": round(ms["kernel"] / ms["definition"], 3),
        **{f"{name}_mb": round(value / 2**20) for name, value in memory.items()},
    }


def main() -> None:
    asked = parser_of(__doc__).parse_args()
    rows = Rows(asked.out)
    for vocab_size in (16_384, 32_768, 50_257, 65_536):
        what = f"vocabulary of {vocab_size:,}"
        if what not in rows:
            rows.add(what, compare(vocab_size) | about("large_vocabulary.py", asked.corpus, asked.out))


if __name__ == "__main__":
    main()
