"""The kernels of mamba beside their definitions on a GPU: milliseconds and exactness.

    python benchmarks/gpu/scan.py CORPUS OUT.jsonl

One row for each kernel and shape. CORPUS is not read; all scripts here are called alike. Times are of recorded graphs,
as in training: `forward` without gradients, `both` with all of them; the median of ROUNDS rounds in which kernel and
definition take turns, with the smallest and the largest. `error` is the largest distance of an output or gradient from
float64, in its norm, of inputs in fp32. What is in OUT.jsonl already is not measured again.
"""

import statistics
from collections.abc import Callable

import torch
from rows import Rows, about, parser_of
from torch import Tensor

from growlab.blocks import causal_filter, selective_scan
from growlab.kernels import Door, is_open
from growlab.kernels.door import outputs_and_gradients
from growlab.training.device import use_device

ROUNDS, REPLAYS = 5, 10

SCANS = [  # B, T, E, N
    (64, 256, 384, 16),
    (64, 256, 384, 8),
    (64, 256, 384, 32),
    (16, 512, 1536, 16),
    (8, 4096, 2048, 16),
    (1, 16384, 2048, 16),
    (1, 65536, 2048, 16),
]
FILTERS = [(64, 256, 384, 4), (16, 512, 1536, 3), (8, 4096, 2048, 4)]  # B, T, E, K
LONGEST = 512  # tokens of which the definition is measured too
BF16 = torch.bfloat16


def scan_inputs(B: int, T: int, E: int, N: int) -> list[Tensor]:
    """u, delta, z, a, b, c, skip and a state, u and z as autocast gives them."""
    draw = torch.Generator("cuda").manual_seed(0)

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw, device="cuda")

    z_BTE = randn(B, T, 2 * E).to(BF16)[..., E:]
    times, rates = randn(B, T, E) - 3, -randn(N, E).exp()
    return [randn(B, T, E).to(BF16), times, z_BTE, rates, randn(B, T, N), randn(B, T, N), randn(E), randn(B, N, E)]


def filter_inputs(B: int, T: int, E: int, K: int) -> list[Tensor | bool]:
    x_BTE = torch.randn(B, T, 2 * E, device="cuda").to(BF16)[..., :E]
    return [
        x_BTE,
        x_BTE.new_zeros(B, E, K - 1),
        torch.randn(E, 1, K, device="cuda"),
        torch.randn(E, device="cuda"),
        True,
    ]


def recorded(run: Callable[[], object]) -> Callable[[], None]:
    stream, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.synchronize()
    with torch.cuda.graph(graph, stream=stream):
        run()
    return graph.replay


def ms(replay: Callable[[], None]) -> float:
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    before.record()
    for _ in range(REPLAYS):
        replay()
    after.record()
    torch.cuda.synchronize()
    return before.elapsed_time(after) / REPLAYS


def replays(form: Callable[..., tuple[Tensor, Tensor]], inputs: list[Tensor | bool]) -> dict[str, Callable[[], None]]:
    """Recorded graphs of the forward pass alone, and of both passes."""
    given = [value.detach().requires_grad_() if isinstance(value, Tensor) else value for value in inputs]
    weight = torch.randn_like(form(*given)[0])

    def forward() -> None:
        with torch.no_grad(), torch.autocast("cuda", BF16):
            form(*given)

    def both() -> None:
        with torch.autocast("cuda", BF16):
            output = form(*given)[0]
        torch.autograd.grad(output, [value for value in given if isinstance(value, Tensor)], weight)

    return {"forward": recorded(forward), "both": recorded(both)}


def spread(values: list[float]) -> list[float]:
    """Median, smallest, largest."""
    return [round(value, 4) for value in (statistics.median(values), min(values), max(values))]


def measure(door: Door, inputs: list[Tensor | bool], *, definition: bool) -> dict[str, object]:
    forms = {"kernel": door.kernel()} | ({"definition": door.definition} if definition else {})
    made = {f"{name}, {part}": replay for name, form in forms.items() for part, replay in replays(form, inputs).items()}
    taken: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(ROUNDS):
        for name, replay in made.items():
            taken[name].append(ms(replay))
    return {"ms": {name: spread(values) for name, values in taken.items()}}


def errors(door: Door, names: list[str], inputs: list[Tensor | bool]) -> dict[str, dict[str, float]]:
    """The largest distance from float64 of what each form gives in fp32, for every output and gradient."""
    gpu = torch.device("cuda")
    exact = outputs_and_gradients(door.definition, names, tuple(inputs), gpu, torch.float64)
    found = {}
    for name, form in {"kernel": door.kernel(), "definition": door.definition}.items():
        tensors = outputs_and_gradients(form, names, tuple(inputs), gpu, torch.float32)
        found[name] = {key: float(f"{(tensors[key] - exact[key]).norm() / exact[key].norm():.1e}") for key in exact}
    return found


def main() -> None:
    asked = parser_of(__doc__).parse_args()
    use_device("cuda")
    rows = Rows(asked.out)
    scans = [(selective_scan.DOOR, scan_inputs, "u delta z a b c skip h", shape) for shape in SCANS]
    filters = [(causal_filter.DOOR, filter_inputs, "x past weight bias silu", shape) for shape in FILTERS]
    for door, make, names, shape in scans + filters:
        what = f"{door.name} {shape}"
        if what in rows:
            continue
        assert is_open(door.name, "cuda:0")
        B, T, E, _ = shape
        inputs = make(*shape)
        figures: dict[str, object] = {"shape": shape} | measure(door, inputs, definition=T <= LONGEST)
        if B * T * E <= 64 * 256 * 384:
            figures["error"] = errors(door, names.split(), inputs)
        rows.add(what, figures | about("scan.py", asked.corpus, asked.out, rounds=ROUNDS, replays=REPLAYS))
        del inputs
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
