"""A door to a computation that has two forms: its definition in plain PyTorch, and a kernel written in Triton.

The definition says what is computed, on any device and in any dtype; the kernel computes the same faster on some. A
door opens to the kernel where

1. the inputs fit the kernel: device, dtype, shapes;
2. the machine has what it takes: triton, and a device that is not too old;
3. kernel and definition agree: on a few small inputs, fp32 or, where an example is, bf16, against float64, each output
   and each gradient, and the kernel gives the same bits twice.

2 and 3 are found out once in a process for each device, when a worker starts or when the first inputs come. That forms
agree is noted in the cache folder by versions, device and source, so that the next process need not compare them. Where
a door stays closed, a warning says why, a trial's row names it, and everything runs by the definition. That there is no
memory to compare them, as others have it all, is no such reason: it is raised, and decided another time.

A kernel is one operator or more, registered with torch, with shapes for tensors without data and a backward pass: a
compiler sees a call, and a CUDA graph can capture it. While a door decides, nothing is traced: the decision is a
constant of a compiled program.

GROWLAB_KERNELS=off closes all doors, GROWLAB_KERNELS=all opens those too whose kernels nobody has measured yet.
GROWLAB_KERNELS=interpreted opens them on CPUs, where Triton's interpreter runs the kernels: slow, and for tests.
"""

import hashlib
import inspect
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from growlab.errors import UsageError
from growlab.escapes import first_line
from growlab.faults import is_of_device, is_out_of_memory, unless_memory_is_short
from growlab.files import write_atomically
from growlab.resources import cache_dir

Inputs = tuple[Any, ...]  # tensors, or None where one may be left out; some kernels take numbers beside
Form = Callable[..., Any]  # of such inputs; returns a tensor, or a tuple of tensors and None

DOORS: dict[str, "Door"] = {}
OLDEST = (8, 0)  # compute capability of the oldest device that kernels are meant for

AS_ROUNDED = 5e-3  # the tolerance where an input is bf16, as then its gradient is

_KNOWN = ("auto", "all", "off", "interpreted")
_closed = 0  # how many `closed_doors` are entered
_reasons: dict[tuple[str, str], str] = {}  # of doors, on devices, to stay closed; '' where they are open


@dataclass(frozen=True, kw_only=True)
class Door:
    """A way to a computation; called as its definition is."""

    name: str
    definition: Form
    kernel: Callable[[], Form]  # imports the file of the kernel, and with it triton
    fits: Callable[..., bool]  # whether the kernel takes such inputs; asks for their dtypes and shapes, not for numbers
    exported: Form | None = None  # where torch.export records texts of any length; None: the definition can be recorded
    examples: Callable[[], Sequence[Inputs]]  # small inputs on the CPU, in fp32 or bf16, for all branches of a kernel
    measured: bool = True  # whether the kernel was found to be faster; one that was not has to be asked for
    tolerance: float = 1e-5  # of the norm of an output's, or a gradient's, difference from float64, in its own norm

    def __post_init__(self) -> None:
        assert self.name not in DOORS, f"two doors are named {self.name!r}"
        DOORS[self.name] = self

    def __call__(self, *inputs: Any) -> Any:
        """Compute by the kernel where the door is open to these inputs, else by the definition.

        What torch.export records holds torch's own operators alone, for those who have no growlab.
        """
        if torch.compiler.is_exporting():
            return (self.exported or self.definition)(*inputs)
        if not _closed and self.fits(*inputs) and is_open(self.name, str(inputs[0].device)):
            return self.kernel()(*inputs)
        return self.definition(*inputs)


@contextmanager
def closed_doors() -> Iterator[None]:
    """Compute by definitions within, also what was compiled before."""
    global _closed
    _closed += 1
    try:
        yield
    finally:
        _closed -= 1


def compare_all(device: torch.device) -> None:
    """Decide about every door now, and not in the middle of a trial. Raises UsageError for an unknown word.

    Where others have all memory of the device, the first inputs decide.
    """
    with unless_memory_is_short():
        numbered = torch.empty(0, device=device).device  # as inputs will name it: 'cuda:0', not 'cuda'
        for name in DOORS:
            is_open(name, str(numbered))


def stepped_back() -> list[str]:
    """Names of the doors that were found to have to stay closed in this process."""
    return sorted({name for (name, _), reason in _reasons.items() if reason})


def is_open(name: str, device: str) -> bool:
    """Whether a door leads to its kernel on a device; compares the forms when that is not known.

    Warns, once, of a door that stays closed. Raises UsageError for an unknown word in GROWLAB_KERNELS, and what torch
    raises where a device fails or its memory is full.
    """
    asked = _asked()
    if asked != "all" and not DOORS[name].measured:
        return False
    if asked == "off" or torch.device(device).type != ("cpu" if asked == "interpreted" else "cuda"):
        return False
    if (name, device) not in _reasons:
        _reasons[name, device] = _reason_to_stay_closed(name, device)
    return _reasons[name, device] == ""


def _asked() -> str:
    asked = os.environ.get("GROWLAB_KERNELS") or "auto"
    if asked not in _KNOWN:
        raise UsageError(f"GROWLAB_KERNELS must be one of {', '.join(_KNOWN)}, got {asked!r}")
    return asked


def _reason_to_stay_closed(name: str, device_name: str) -> str:
    device = torch.device(device_name)
    reason = _lacking(device) or _disagreement(DOORS[name], device)
    if reason:
        warnings.warn(
            f"the kernel of {name} is not used on {device_name}, which makes training slower: {reason} "
            "(GROWLAB_KERNELS=off leaves all kernels out, and this message)",
            stacklevel=3,
        )
    return reason


def _lacking(device: torch.device) -> str:
    """Name what this machine lacks to run any kernel on the device, or ''."""
    if find_spec("triton") is None:
        return "the package triton is not installed"
    if device.type == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"  # read by triton as it is imported
        return ""
    os.environ.setdefault("TRITON_CACHE_DIR", str(cache_dir() / "triton"))
    if (found := torch.cuda.get_device_capability(device)) < OLDEST:
        return f"the device has compute capability {found[0]}.{found[1]}, it needs {OLDEST[0]}.{OLDEST[1]}"
    return ""


# ---- do the two forms agree? -------------------------------------------------------------------------------------


def _disagreement(door: Door, device: torch.device) -> str:
    """Say in what a kernel differs from its definition, or how it fails; '' where they agree, which is noted."""
    try:
        note = cache_dir() / "kernels" / f"{door.name}-{_fingerprint(door, device)}"
        if note.exists():
            return ""
        with _as_outside(device):
            reason = next((found for inputs in door.examples() if (found := difference(door, inputs, device))), "")
    except Exception as error:  # of a compiler, a driver or a version of triton that does not fit
        if is_of_device(error) or is_out_of_memory(error):
            raise
        return f"it fails with {type(error).__name__}: {first_line(str(error).strip())}"
    if not reason:
        with suppress(OSError):  # then the next process compares again
            write_atomically(note, b"")
    return reason


def _fingerprint(door: Door, device: torch.device) -> str:
    """Tell apart all on which it depends that the forms agree: versions, device, sources."""
    import triton

    where = "cpu" if device.type == "cpu" else f"{torch.cuda.get_device_name(device)} {torch.version.cuda}"
    digest = hashlib.sha256(f"{torch.__version__} {triton.__version__} {where}\n".encode())
    kernels = Path(__file__).parent.glob("*.py")  # which use one another
    for path in (*sorted(kernels), Path(inspect.getfile(inspect.unwrap(door.definition)))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:32]


@contextmanager
def _as_outside(device: torch.device) -> Iterator[None]:
    """Compute as outside of all that may be going on: autocast, inference, a compiler's tracing."""
    with (
        _disable_current_modes(),
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast(device.type, enabled=False),
    ):
        yield


def difference(door: Door, inputs: Inputs, device: torch.device) -> str:
    """Say in what a kernel differs from its definition on such inputs by more than it may, or ''."""
    names, kernel = list(inspect.signature(door.definition).parameters), door.kernel()
    exact = outputs_and_gradients(door.definition, names, inputs, torch.device("cpu"), torch.float64)
    found = outputs_and_gradients(kernel, names, inputs, device, torch.float32)
    again = outputs_and_gradients(kernel, names, inputs, device, torch.float32)
    allowed = max(door.tolerance, AS_ROUNDED if any(map(_is_narrow, inputs)) else 0.0)
    for name, expected in exact.items():
        error = float((found[name] - expected).norm() / expected.norm().clamp(min=1e-30))
        if not error <= allowed:
            return f"its {name} is {error:.0e} away from the definition's, {allowed:.0e} is allowed"
        if not torch.equal(found[name], again[name]):
            return f"its {name} is another one the second time"
    return ""


def outputs_and_gradients(
    form: Form, names: Sequence[str], inputs: Inputs, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Compute, on a device in a dtype, a form's outputs and the gradients of all inputs; in float64 on the CPU.

    The gradients are of a loss in which every number of every output has a weight of its own, one that bf16 has too.
    """
    given = [_given(value, device, dtype) for value in inputs]
    returned = form(*given)
    outputs = [value for value in (returned if isinstance(returned, tuple) else (returned,)) if value is not None]
    random = torch.Generator().manual_seed(0)
    drawn = [torch.randn(output.shape, generator=random).to(torch.bfloat16) for output in outputs]
    weights = [weight.to(device, output.dtype) for weight, output in zip(drawn, outputs, strict=True)]
    differentiable = {name: value for name, value in zip(names, given, strict=True) if _is_real(value)}
    gradients = torch.autograd.grad(outputs, list(differentiable.values()), weights)
    found = {f"output {at}": output.detach() for at, output in enumerate(outputs)}
    found |= {f"gradient of {name}": gradient for name, gradient in zip(differentiable, gradients, strict=True)}
    return {name: tensor.to("cpu", torch.float64) for name, tensor in found.items()}


def _given(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    if not _is_real(value):
        return value
    stays_narrow = _is_narrow(value) and dtype == torch.float32
    return value.detach().to(device, torch.bfloat16 if stays_narrow else dtype).requires_grad_()


def _is_narrow(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.bfloat16


def _is_real(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()
