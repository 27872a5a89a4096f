"""The kernels of both matrix memories, in Triton's interpreter and on a GPU, against their definitions in float64.

Legend: B batch, H heads, G heads of queries and keys, T tokens, K entries of a key, V of a value.
"""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, library
from torch._subclasses import FakeTensorMode

from growlab.blocks.decaying_memory import REMEMBER, WEIGHED
from growlab.blocks.delta_memory import REVISE
from growlab.kernels.door import Door, difference, outputs_and_gradients

CPU = torch.device("cpu")
FP32, BF16 = torch.float32, torch.bfloat16
TOKENS = ("q", "k", "v")  # which may be narrow
NAMES = {
    REMEMBER: (*TOKENS, "log_decay", "memory", "strength", "skip"),
    WEIGHED: (*TOKENS, "log_decay", "memory"),
    REVISE: (*TOKENS, "log_decay", "strength", "memory"),
}


def draw_inputs(
    door: Door, *, B=1, H=1, G=1, T=70, K=12, V=20, memory=False, more=False, fastest=0.4
) -> tuple[Tensor | None, ...]:
    """Inputs, with decays between `fastest` and 1; `more` is for strengths and skip, where they may be left out."""
    random = torch.Generator().manual_seed(T)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    q, k, v = draw(B, G, T, K), F.normalize(draw(B, G, T, K), dim=-1), draw(B, H, T, V)
    log_decay = torch.empty(B, H, T).uniform_(fastest, 1, generator=random).log()
    first, strength = draw(B, H, K, V) if memory else None, torch.rand(B, H, T, generator=random)
    if door is REVISE:
        return q, k, v, log_decay, strength, first
    if door is WEIGHED:
        first = None if first is None else F.pad(first, (0, 1), value=1.0)
        return q.abs(), k.abs(), v, log_decay, first
    return q, k, v, log_decay, first, strength if more else None, draw(H) if more else None


def error(found: Tensor, exact: Tensor) -> float:
    return ((found.double() - exact.double()).norm() / exact.double().norm().clamp(min=1e-30)).item()


@pytest.mark.parametrize("door", [REMEMBER, WEIGHED, REVISE], ids=lambda door: door.name)
def test_what_a_kernel_does_not_take_goes_by_the_definition(door: Door) -> None:
    q, k, v, *others = draw_inputs(door)

    assert door.fits(q, k, v, *others)
    assert door.fits(q, k.to(BF16), v, *others)
    assert not door.fits(q, k, v.half(), *others)
    assert not door.fits(q, k, v, *(None if x is None else x.double() for x in others))
    assert not door.fits(*draw_inputs(door, K=129))
    assert not door.fits(*draw_inputs(door, B=2**16, T=1, K=1, V=1))


# ---- in the interpreter ----------------------------------------------------------------------------------------------


@pytest.fixture
def interpreted() -> None:
    triton = pytest.importorskip("triton")
    if not triton.knobs.runtime.interpret:
        pytest.skip("kernels run on the GPU of this machine")


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize(
    ("door", "case"),
    [
        (REMEMBER, {"H": 2, "memory": True, "more": True}),
        (REMEMBER, {"T": 1, "K": 66, "V": 5, "memory": True}),
        (WEIGHED, {"memory": True}),
        (REVISE, {"memory": True}),
    ],
)
def test_in_the_interpreter_a_kernel_gives_what_the_definition_gives(door: Door, case: dict[str, Any]) -> None:
    assert difference(door, draw_inputs(door, **case), CPU) == ""


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("door", [REMEMBER, WEIGHED], ids=lambda door: door.name)
def test_a_text_that_is_cut_into_segments_is_read_as_a_whole(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    from growlab.kernels import memory_walk

    monkeypatch.setattr(memory_walk, "n_segments", lambda n_programs, n_chunks: 2)  # of two chunks and of one

    assert difference(door, draw_inputs(door, T=150, K=3, V=2, memory=True), CPU) == ""


@pytest.mark.usefixtures("interpreted")
def test_keys_that_are_wider_than_a_tile_are_corrected_whole() -> None:
    q, k, v, *others = draw_inputs(REVISE, T=3, K=66, V=2, memory=True)

    assert difference(REVISE, (q, k, v.to(BF16), *others), CPU) == ""


@pytest.mark.parametrize("door", [REMEMBER, WEIGHED, REVISE], ids=lambda door: door.name)
def test_before_it_is_used_a_kernel_is_compared_on_all_that_it_does_otherwise(door: Door) -> None:
    """In bf16, on a memory to start from, on keys wider than a tile, and on long texts where it cuts them."""
    from growlab.kernels.memory_chunk import CHUNK
    from growlab.kernels.memory_walk import n_segments

    seen = [dict(zip(NAMES[door], example, strict=True)) for example in door.examples()]
    of_texts = [(x["v"].shape[2], x["v"].shape[1] * -(-x["k"].shape[3] // 64), x) for x in seen]
    long = [x for T, n_programs, x in of_texts if n_segments(n_programs, -(-T // CHUNK)) > 1]
    wide = [x for x in seen if x["k"].shape[3] > 64 and x["v"].dtype == BF16 and x["memory"] is not None]

    assert all(door.fits(*x.values()) for x in seen)
    assert wide
    assert long or door is REVISE


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("door", [REMEMBER, REVISE], ids=lambda door: door.name)
def test_of_what_came_in_bf16_products_are_exact_to_16_bits(door: Door) -> None:
    q, k, v, *others = draw_inputs(door, memory=True, more=True)
    narrow = [tensor.to(BF16).requires_grad_() for tensor in (q, k, v)]

    found = door.kernel()(*narrow, *others)
    expected = door.definition(*(tensor.double() for tensor in narrow), *(tensor.double() for tensor in others))

    for one, other in zip(found, expected, strict=True):
        assert one.dtype == FP32
        assert error(one, other) < 1e-4
    gradients = torch.autograd.grad(found[0].sum(), narrow)
    assert [gradient.dtype for gradient in gradients] == [BF16] * 3


# ---- on a GPU --------------------------------------------------------------------------------------------------------

ON_GPU = [
    (REMEMBER, {"B": 2, "H": 3, "G": 3, "T": 200, "K": 64, "V": 65}),
    (REMEMBER, {"B": 2, "H": 4, "T": 256, "K": 64, "V": 128, "memory": True, "more": True}),
    (REMEMBER, {"B": 3, "H": 2, "G": 2, "T": 1, "K": 20, "V": 33, "memory": True}),
    (REMEMBER, {"T": 3001, "K": 80, "V": 40, "memory": True, "more": True, "fastest": 0.9}),
    (REMEMBER, {"T": 777, "K": 8, "V": 16, "fastest": 1e-12}),
    (REMEMBER, {"H": 2, "T": 130, "K": 128, "V": 257, "memory": True}),
    (WEIGHED, {"B": 2, "H": 4, "G": 4, "T": 256, "K": 64, "V": 64}),
    (WEIGHED, {"T": 3001, "K": 100, "V": 130, "memory": True, "fastest": 0.9}),
    (REVISE, {"B": 2, "H": 4, "G": 4, "T": 256, "K": 64, "V": 64}),
    (REVISE, {"B": 3, "T": 1, "memory": True}),
    (REVISE, {"T": 1001, "K": 30, "V": 70, "memory": True, "fastest": 0.99}),
    (REVISE, {"H": 2, "G": 2, "T": 130, "K": 128, "V": 128, "memory": True}),
]


@pytest.fixture
def on_gpu() -> torch.device:
    return torch.device("cuda")


@pytest.mark.gpu
@pytest.mark.parametrize(("door", "case"), ON_GPU, ids=lambda of: getattr(of, "name", str(of)))
def test_on_a_gpu_a_kernel_is_as_exact_as_its_definition_in_fp32(on_gpu, door: Door, case: dict[str, Any]) -> None:
    inputs = draw_inputs(door, **case)
    exact = outputs_and_gradients(door.definition, NAMES[door], inputs, on_gpu, torch.float64)
    plain = outputs_and_gradients(door.definition, NAMES[door], inputs, on_gpu, FP32)
    found = outputs_and_gradients(door.kernel(), NAMES[door], inputs, on_gpu, FP32)
    again = outputs_and_gradients(door.kernel(), NAMES[door], inputs, on_gpu, FP32)

    for name, tensor in exact.items():
        ours, theirs = error(found[name], tensor), error(plain[name], tensor)
        print(f"{name}: kernel {ours:.1e}, definition {theirs:.1e}")
        assert torch.equal(found[name], again[name]), name
        assert ours <= max(2 * theirs, 1e-6), name


@pytest.mark.gpu
@pytest.mark.parametrize("narrow", [("v",), TOKENS], ids=str)
@pytest.mark.parametrize(("door", "case"), ON_GPU, ids=lambda of: getattr(of, "name", str(of)))
def test_on_a_gpu_what_came_in_bf16_is_exact_to_16_bits(
    on_gpu, door: Door, case: dict[str, Any], narrow: tuple[str, ...]
) -> None:
    names = NAMES[door]
    inputs = [
        tensor if tensor is None or name not in narrow else tensor.to(BF16).float()
        for name, tensor in zip(names, draw_inputs(door, **case), strict=True)
    ]

    def kernel(*given: Tensor | None) -> tuple[Tensor | None, ...]:
        tokens = [tensor.to(BF16) if name in narrow else tensor for name, tensor in zip(TOKENS, given, strict=False)]
        read: tuple[Tensor | None, ...] = door.kernel()(*tokens, *given[3:])
        return read

    exact = outputs_and_gradients(door.definition, names, inputs, on_gpu, torch.float64)
    found = outputs_and_gradients(kernel, names, inputs, on_gpu, FP32)
    again = outputs_and_gradients(kernel, names, inputs, on_gpu, FP32)

    for name, tensor in exact.items():
        print(f"{name}: {error(found[name], tensor):.1e}")
        assert torch.equal(found[name], again[name]), name
        rounded = any(name.endswith(f" {token}") for token in narrow)  # a gradient in bf16
        assert error(found[name], tensor) < (3e-3 if rounded else 1e-4), name


@pytest.mark.gpu
@pytest.mark.parametrize("door", [REMEMBER, WEIGHED, REVISE], ids=lambda door: door.name)
def test_a_text_read_in_pieces_is_the_whole_text(on_gpu, door: Door) -> None:
    inputs = draw_inputs(door, B=2, H=2, G=2, T=200, K=16, V=24, memory=True, more=True)
    given = dict(zip(NAMES[door], (None if x is None else x.to(on_gpu) for x in inputs), strict=True))
    *whole, last = door.kernel()(*given.values())

    pieces = []
    for tokens in (slice(0, 1), slice(1, 70), slice(70, 200)):
        of_tokens = {name: x[:, :, tokens] for name, x in given.items() if name not in ("memory", "skip")}
        *piece, given["memory"] = door.kernel()(*(given | of_tokens).values())
        pieces.append(piece)

    for parts, of_all in zip(zip(*pieces, strict=True), whole, strict=True):
        torch.testing.assert_close(torch.cat(parts, 2), of_all, rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(given["memory"], last, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("dtypes", [(FP32, BF16, BF16), (FP32, FP32, BF16), (BF16, FP32, FP32)])
@pytest.mark.parametrize("G", [1, 2])
def test_gradients_are_of_the_types_that_a_compiler_is_told(dtypes: tuple[torch.dtype, ...], G: int) -> None:
    """As in `hopfield`, whose queries are wide beside narrow keys; a compiler would read one type as the other."""
    from growlab.kernels import decaying_memory

    q, k, v, log_decay, *_ = draw_inputs(REMEMBER, H=2, G=G, T=5, K=3, V=4)
    q, k, v = (x.to(dtype) for x, dtype in zip((q, k, v), dtypes, strict=True))
    y, _, _, heads, sums = decaying_memory._remember(q, k, v, log_decay, None, None, None, False, True)
    inputs = (torch.ones_like(y), None, None, q, k, v, None, None, None, heads, sums)

    found = decaying_memory._remember_backward(*inputs)
    with FakeTensorMode() as fake:
        told = decaying_memory._remember_backward(*(None if x is None else fake.from_tensor(x) for x in inputs))

    assert [(x.dtype, x.shape, x.stride()) for x in found] == [(x.dtype, x.shape, x.stride()) for x in told]


@pytest.mark.gpu
@pytest.mark.parametrize("door", [REMEMBER, WEIGHED, REVISE], ids=lambda door: door.name)
def test_the_operators_keep_what_torch_asks_of_operators(on_gpu, door: Door) -> None:
    from growlab.kernels import decaying_memory, delta_memory

    inputs = [None if x is None else x.to(on_gpu) for x in draw_inputs(door, memory=True, more=True)]
    at = NAMES[door].index("memory")
    inputs[at] = torch.randn(1, 1, 12 * (20 + (door is WEIGHED)), device=on_gpu)  # as the kernels hold it
    given = [None if x is None else x.requires_grad_() for x in inputs]

    if door is REVISE:
        library.opcheck(delta_memory._revise, (*given, True))
    else:
        library.opcheck(decaying_memory._remember, (*given, *[None] * (7 - len(given)), door is WEIGHED, True))
