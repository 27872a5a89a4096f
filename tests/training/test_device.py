import pytest
import torch

from growlab.errors import UsageError
from growlab.training.device import autocast, resolve_device

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")


def test_the_cpu_is_always_there() -> None:
    assert resolve_device("cpu") == torch.device("cpu")


@without_gpu
def test_auto_is_the_cpu_where_there_is_no_gpu() -> None:
    assert resolve_device("auto") == torch.device("cpu")


@without_gpu
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_gpu_that_is_not_there_is_said_so(name: str) -> None:
    with pytest.raises(UsageError, match=f"device '{name}': this machine has no usable GPU; use --device cpu"):
        resolve_device(name)


@pytest.mark.parametrize(
    ("name", "message"), [("gpu", "unknown device 'gpu'; use cpu, cuda"), ("meta", "device 'meta' is not supported")]
)
def test_a_device_that_growlab_cannot_use_is_named(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve_device(name)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("auto", torch.float32), ("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_on_a_cpu_products_are_bf16_only_where_asked_for(precision: str, dtype: torch.dtype) -> None:
    weight = torch.ones(2, 2)

    with autocast(precision, torch.device("cpu")):
        product = weight @ weight

    assert product.dtype == dtype
