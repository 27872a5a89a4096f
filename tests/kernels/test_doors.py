"""A door leads to the kernel where that fits and agrees with the definition, and says why where it does not.

The kernels here are plain PyTorch: what Triton makes of the real ones, test_interpreted.py sees.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import growlab.blocks
import growlab.model.cross_entropy  # noqa: F401  (they make the doors)
from growlab.errors import UsageError
from growlab.kernels import Door, closed_doors, compare_all, door, is_open, stepped_back

Form = Callable[[Tensor, Tensor], Tensor]
DOORS = dict(door.DOORS)  # those of growlab; tests have others
ON_CPU = pytest.mark.usefixtures("interpreted")


def product(x: Tensor, y: Tensor) -> Tensor:
    return x * y


def ones(*shape: int) -> Tensor:
    return torch.ones(shape)


@pytest.fixture
def calls() -> list[str]:
    return []


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doors open on a CPU, as far as a machine without triton lets them."""
    monkeypatch.setenv("GROWLAB_KERNELS", "interpreted")
    monkeypatch.setenv("TRITON_INTERPRET", "1")  # which a door sets too: here it is unset again
    monkeypatch.setattr(door, "find_spec", lambda _: object())
    monkeypatch.setattr(door, "_fingerprint", lambda *_: "0")


@pytest.fixture
def door_to(monkeypatch: pytest.MonkeyPatch, calls: list[str], tmp_path) -> Callable[[Form], Door]:
    monkeypatch.setattr(door, "DOORS", {})
    monkeypatch.setattr(door, "_reasons", {})
    monkeypatch.setenv("GROWLAB_CACHE", str(tmp_path))

    def make(kernel: Form) -> Door:
        def counted(x: Tensor, y: Tensor) -> Tensor:
            calls.append("kernel")
            return kernel(x, y)

        return Door(
            name="product",
            definition=product,
            kernel=lambda: counted,
            fits=lambda x, _: x.dtype == torch.float32 and x.dim() == 2,
            examples=lambda: [(ones(3, 2) / 3, ones(3, 2) / 7)],
        )

    return make


@ON_CPU
def test_an_open_door_leads_to_the_kernel(door_to, calls):
    found = door_to(product)(ones(4, 4), 3 * ones(4, 4))

    assert torch.equal(found, 3 * ones(4, 4))
    assert calls == ["kernel"] * 3  # compared twice, then called


@ON_CPU
@pytest.mark.parametrize("inputs", [ones(4), ones(4, 4).double()])
def test_inputs_that_do_not_fit_go_to_the_definition(door_to, calls, inputs):
    door_to(product)(inputs, inputs)

    assert calls == []


def test_without_being_asked_no_door_opens_on_a_cpu(door_to, calls):
    door_to(product)(ones(4, 4), ones(4, 4))

    assert calls == []


@ON_CPU
def test_doors_can_be_closed_for_a_while(door_to, calls):
    product = door_to(lambda x, y: x * y)
    product(ones(4, 4), ones(4, 4))
    before = len(calls)

    with closed_doors():
        product(ones(4, 4), ones(4, 4))

    assert len(calls) == before
    product(ones(4, 4), ones(4, 4))
    assert len(calls) == before + 1


def test_a_kernel_that_nobody_has_measured_has_to_be_asked_for(monkeypatch):
    monkeypatch.setattr(door, "_reason_to_stay_closed", lambda name, device: "")
    monkeypatch.setattr(door, "_reasons", {})

    assert is_open("swiglu", "cuda:0")
    assert not is_open("window_attention", "cuda:0")
    monkeypatch.setenv("GROWLAB_KERNELS", "all")
    assert is_open("swiglu", "cuda:0")
    assert is_open("window_attention", "cuda:0")


@ON_CPU
def test_off_closes_all_doors(door_to, calls, monkeypatch):
    monkeypatch.setenv("GROWLAB_KERNELS", "off")

    door_to(product)(ones(4, 4), ones(4, 4))

    assert calls == []


def test_another_word_is_refused(door_to, monkeypatch):
    monkeypatch.setenv("GROWLAB_KERNELS", "on")
    door_to(product)

    with pytest.raises(UsageError, match="GROWLAB_KERNELS must be one of auto, all, off, interpreted, got 'on'"):
        compare_all(torch.device("cpu"))


class HalfGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x, y)
        return x * y

    @staticmethod
    def backward(ctx, grad):
        x, y = ctx.saved_tensors
        return grad * y, grad * x / 2


def raises(x: Tensor, y: Tensor) -> Tensor:
    raise RuntimeError("PassManager::run failed\n  at line 1")


class Restless:
    def __init__(self) -> None:
        self.n_calls = 0

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        self.n_calls += 1
        return x * y * (1 + self.n_calls * 2e-7)


@ON_CPU
@pytest.mark.parametrize(
    ("kernel", "reason"),
    [
        (lambda x, y: x * y * 1.001, "its output 0 is 1e-03 away from the definition's, 1e-05 is allowed"),
        (lambda x, y: x * y * torch.nan, "its output 0 is nan away"),
        (HalfGradient.apply, "its gradient of y is 5e-01 away"),
        (Restless(), "its output 0 is another one the second time"),
        (raises, "it fails with RuntimeError: PassManager::run failed"),
    ],
)
def test_a_kernel_that_is_wrong_is_left_alone_and_the_reason_is_told_once(door_to, calls, kernel, reason):
    product = door_to(kernel)

    with pytest.warns(UserWarning, match=r"the kernel of product is not used on cpu, which .* slower: ") as told:
        found = product(ones(4, 4), ones(4, 4))
    compared = len(calls)
    product(ones(4, 4), ones(4, 4))

    assert reason in str(told[0].message)
    assert "\n" not in str(told[0].message)
    assert len(told) == 1
    assert len(calls) == compared
    assert torch.equal(found, ones(4, 4))
    assert stepped_back() == ["product"]


@pytest.mark.parametrize("narrow", [True, False])
def test_an_example_in_bf16_is_compared_in_bf16_and_as_far_as_that_goes(door_to, narrow):
    seen = []

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        seen.append(x.dtype)
        return x * y * 1.001

    example = ones(3, 2).to(torch.bfloat16 if narrow else torch.float32)
    reason = door.difference(door_to(kernel), (example, ones(3, 2)), torch.device("cpu"))

    assert set(seen) == {example.dtype}
    assert (reason == "") == narrow


@ON_CPU
def test_without_triton_it_says_so(door_to, monkeypatch):
    monkeypatch.setattr(door, "find_spec", lambda _: None)
    door_to(product)

    with pytest.warns(UserWarning, match="slower: the package triton is not installed"):
        compare_all(torch.device("cpu"))


@ON_CPU
def test_what_agreed_is_not_compared_again_by_the_next_process(door_to, calls):
    door_to(product)
    compare_all(torch.device("cpu"))
    assert len(calls) == 2

    door._reasons.clear()  # as in another process
    compare_all(torch.device("cpu"))

    assert len(calls) == 2


@ON_CPU
@pytest.mark.parametrize("context", [torch.inference_mode, torch.no_grad, lambda: torch.autocast("cpu")])
def test_forms_are_compared_whatever_is_going_on(door_to, context):
    door_to(product)

    with context():
        assert is_open("product", "cpu")


NO_ROOM = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB."),
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError("Triton Error [CUDA]: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    MemoryError(),
]


@ON_CPU
@pytest.mark.parametrize("error", NO_ROOM)
def test_a_device_that_is_full_is_no_fault_of_the_kernel(door_to, error):
    full = [True, True, False, False]

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        if full.pop(0):
            raise error
        return x * y

    door_to(kernel)
    compare_all(torch.device("cpu"))  # as a worker starts
    with pytest.raises(type(error)):  # as a trial begins, beside the same neighbours: it is tried again
        is_open("product", "cpu")

    assert is_open("product", "cpu")
    assert (full, stepped_back()) == ([], [])


@ON_CPU
def test_a_device_that_fails_is_told(door_to):
    def kernel(x: Tensor, y: Tensor) -> Tensor:
        raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    door_to(kernel)

    with pytest.raises(torch.AcceleratorError, match="unspecified launch failure"):
        compare_all(torch.device("cpu"))


def test_every_kernel_that_takes_bf16_is_compared_in_it() -> None:
    in_bf16 = {name for name, each in DOORS.items() for inputs in each.examples() if any(map(door._is_narrow, inputs))}

    assert set(DOORS) - in_bf16 == {"rms_norm"}


def test_two_doors_have_two_names(door_to):
    door_to(product)

    with pytest.raises(AssertionError, match="two doors are named 'product'"):
        door_to(product)
