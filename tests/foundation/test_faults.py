"""Errors of torch are told apart by what they say."""

import pytest
import torch

from growlab.faults import is_of_device, is_out_of_memory, refused_operation, shortage, unless_memory_is_short


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), True),
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes."), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), True),
        (torch.AcceleratorError("CUDA error: out of memory"), True),
        (RuntimeError("Triton Error [CUDA]: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"), True),
        (RuntimeError("out of resource: shared memory, Required: 294912, Hardware limit: 232448"), False),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
    ],
)
def test_what_does_not_fit_is_known_from_a_slip(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_running_out_of_memory_is_known_by_what_it_led_to() -> None:
    error = RuntimeError("CUDA error: operation failed due to a previous error during capture")
    error.__context__ = torch.OutOfMemoryError("CUDA out of memory")

    assert is_out_of_memory(error)
    assert shortage(error) == "CUDA out of memory"


def test_where_memory_is_short_something_is_left_undone_and_other_errors_are_told() -> None:
    with unless_memory_is_short():
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(RuntimeError, match="must match"), unless_memory_is_short():
        raise RuntimeError("The size of tensor a (3) must match the size of tensor b (4)")


def test_a_device_that_fails_or_is_full_is_told_from_a_program_that_is_wrong() -> None:
    assert is_of_device(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_of_device(torch.AcceleratorError("CUDA error: unspecified launch failure"))
    assert is_of_device(RuntimeError("Triton Error [CUDA]: out of memory"))
    assert not is_of_device(MemoryError())
    assert not is_of_device(RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"))


def test_an_operation_that_torch_refuses_is_named_and_no_other_error_is_taken_for_one() -> None:
    refused = RuntimeError("cumsum_cuda_kernel does not have a deterministic implementation, but you set 'torch.use")

    assert refused_operation(refused).startswith("--deterministic: cumsum_cuda_kernel has no deterministic form")
    assert refused_operation(RuntimeError("CUDA error: unspecified launch failure")) == ""
