"""Everything that a trial needs to go on: one safetensors file, with the numbers as JSON in its header.

    checkpoint-<step>-<sha>.safetensors
        model/<parameter>                   weights
        adam/<parameter>/<moment>           optimizer state, by name
        window/<tensor>/last, …/gram        the newest unit's newest snapshot and the Gram matrix of its increments
        path/<unit>/<tensor>/last, …/gram   the same of another unit, by its identity
        sketch/last/<size>, sketch/gram     the same of all sketched tensors of a size, and of all sizes
        rng/cpu, rng/cuda | rng/mps, loss_sum
        average/<parameter>                 the mean of its weights, before a rung at which that is read
        other/…                             while the trial is forked, all of this of its other branch, increments too
    increments/<sha>.safetensors            one increment of all watched units, written once

Never pickle. Names carry the content's hash, so that a worker that lost its lease cannot overwrite what
its successor wrote.
"""

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import torch
from jaxtyping import Shaped
from pydantic import Field, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from growlab.data.corpus import Corpus
from growlab.data.tokenizers import Tokenizer
from growlab.errors import ArtifactsError, CheckpointError, LayoutError, OtherCode
from growlab.escapes import quoted
from growlab.files import sha256_of, write_atomically
from growlab.growth.paths import Paths
from growlab.growth.protocol import GrowthState
from growlab.headers import read_header, write_header
from growlab.kinds import units
from growlab.layout import BlockSpec, format_layout
from growlab.model.language_model import LanguageModel
from growlab.records import Artifact, Fact
from growlab.specs import TrialSpec
from growlab.training.branch import Branch, Held
from growlab.training.device import rng_states, set_rng_states
from growlab.training.run import Counters, TrialRun, assemble_run

_FORMAT = 1
_OTHER = "other/"
_Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True, kw_only=True)
class BranchHeader:
    """A branch without the tensors of the other one."""

    grown: bool
    begun_step: int
    begun_flops: int
    ends_at: int
    as_it_was_loss: float
    facts: list[Fact]
    other_facts: list[Fact]
    other: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class CheckpointHeader:
    """The contents of a checkpoint's header beside `format`."""

    grown: list[str]  # the blocks of every unit that grew, as it was then, the eldest first
    counters: Counters
    loss_count: int
    growth: GrowthState
    n_taken: int  # snapshots
    born: dict[str, int]  # parameter -> the step at which it entered
    increments: list[_Sha256]
    branch: BranchHeader | None = None  # while the trial is forked
    n_averaged: int = 0  # models that average/… is the mean of


class CheckpointFolder:
    """The checkpoints of one trial: `folder` below the artifact root `root`."""

    def __init__(self, root: Path, folder: str) -> None:
        self.root, self.folder = root, root / folder
        self._written: dict[int, str] = {}  # serial number of an increment -> sha256 of its file
        self._known: set[str] = set()  # files of increments that this attempt has used

    # ---- writing --------------------------------------------------------------------------------------------

    def save(self, run: TrialRun) -> Artifact:
        """Write a checkpoint; durable when this returns. Raises CheckpointError when the disk refuses."""
        step = run.counters.step
        tensors, numbers = pack(run)
        if run.branch is not None:
            tensors |= {_OTHER + name: tensor for name, tensor in run.branch.other.tensors.items()}
            numbers["branch"] = _branch_numbers(run.branch)
        try:
            numbers["increments"] = self._save_increments(run.growth.paths)
            return self._save_file("checkpoint", step, tensors, numbers)
        except OSError as error:
            raise CheckpointError(f"cannot write a checkpoint of step {step} in {self.folder}: {error}") from error

    def save_model(self, run: TrialRun) -> Artifact:
        """Save the weights alone, with the layout and the vocabulary's size in the header."""
        header = {"layout": format_layout(run.model.layout), "vocab_size": run.model.vocab_size}
        weights = (parameter.detach() for parameter in run.model.parameters())
        names = _names_by_layout(run.model) if run.grown else [name for name, _ in run.model.named_parameters()]
        tensors = dict(zip(names, weights, strict=True))
        try:
            return self._save_file("model", run.counters.step, tensors, header)
        except OSError as error:
            raise CheckpointError(f"cannot write the model in {self.folder}: {error}") from error

    def save_tokenizer(self, tokenizer: Tokenizer) -> Artifact:
        """Save tokenizer.json beside the model."""
        path = self.folder / "tokenizer.json"
        try:
            tokenizer.save(path)
        except OSError as error:
            raise CheckpointError(f"cannot write {path}: {error}") from error
        relative = path.relative_to(self.root).as_posix()
        n_bytes = path.stat().st_size
        return Artifact(kind="tokenizer", step=0, path=relative, sha256=sha256_of(path), n_bytes=n_bytes)

    def forget_before(self, kept: Artifact) -> None:
        """Delete checkpoints of earlier steps, and increments that this attempt used before and does not use now.

        Nothing that could be a successor's: a worker may wake here long after it lost its lease.
        """
        for path in self.folder.glob("checkpoint-*.safetensors"):
            if int(path.name.split("-")[1]) < kept.step:
                path.unlink(missing_ok=True)
        used = set(self._written.values())
        for digest in self._known - used:
            self._increment_path(digest).unlink(missing_ok=True)
        self._known = used

    def forget(self, checkpoint: Artifact) -> None:
        """Delete one checkpoint with its increments, and nothing else: another attempt may have begun here anew.

        What cannot be read or deleted stays.
        """
        path = self.root / checkpoint.path
        with suppress(OSError, SafetensorError, CheckpointError):
            with safe_open(path, framework="pt") as file:
                numbers = _numbers(path, read_header(path, file.metadata()))
            for digest in numbers.increments:
                self._increment_path(digest).unlink(missing_ok=True)
        with suppress(OSError):
            path.unlink(missing_ok=True)

    def forget_all(self) -> None:
        """Delete every checkpoint and increment, also what killed attempts left: the trial is over and is ours."""
        for pattern in ("checkpoint-*.safetensors", ".*.part"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)
        shutil.rmtree(self.folder / "increments", ignore_errors=True)

    def _save_increments(self, paths: Paths) -> list[str]:
        held = paths.increments()
        self._written = {serial: digest for serial, digest in self._written.items() if serial in held}
        for serial, tensors in held.items():
            if serial not in self._written:
                content = save_tensors({name: increment.contiguous() for name, increment in tensors.items()})
                digest = hashlib.sha256(content).hexdigest()
                write_atomically(self._increment_path(digest), content)
                self._written[serial] = digest
        self._known |= set(self._written.values())
        return list(self._written.values())

    def _save_file(self, kind: str, step: int, tensors: dict[str, Tensor], numbers: dict[str, Any]) -> Artifact:
        content = save_tensors({name: tensor.contiguous() for name, tensor in tensors.items()}, write_header(numbers))
        digest = hashlib.sha256(content).hexdigest()
        path = self.folder / f"{kind}-{step:08d}-{digest[:12]}.safetensors"
        write_atomically(path, content)
        relative = path.relative_to(self.root).as_posix()
        return Artifact(kind=kind, step=step, path=relative, sha256=digest, n_bytes=len(content))

    def _increment_path(self, digest: str) -> Path:
        return self.folder / "increments" / f"{digest}.safetensors"

    # ---- reading --------------------------------------------------------------------------------------------

    def load(self, artifact: Artifact, spec: TrialSpec, corpus: Corpus, device: torch.device) -> TrialRun:
        """Load the run as it was when it was saved.

        Raises CheckpointError for a missing or damaged file; ArtifactsError where the whole folder is missing and
        OtherCode where the model is built otherwise now: then the fault is this worker's, and the trial must not
        lose its progress.
        """
        path = self.root / artifact.path
        if not self.folder.is_dir():
            raise ArtifactsError(
                f"the trial has a checkpoint, but its folder {self.folder} is not here: does this worker see the "
                "artifacts of the one that wrote it (--artifacts)? To start the trial from step 0, make that folder"
            )
        tensors, header = read_tensors(path, artifact.sha256)
        numbers = _numbers(path, header)
        try:
            run = assemble_run(
                spec,
                corpus,
                device,
                grown=numbers.grown,
                born=numbers.born,
                positions=numbers.growth.positions,
                enclosed=numbers.growth.enclosed,
            )
        except LayoutError as error:  # of what grew; the layout itself was read when the spec was
            raise CheckpointError(f"{path} is no growlab checkpoint: its header's grown: {error}") from None
        _require_same_code(path, run, tensors)
        increments = [read_tensors(self._increment_path(digest), digest)[0] for digest in numbers.increments]
        try:
            unpack(run, tensors, numbers, increments)
            if numbers.branch is not None:
                run.branch = _branch(numbers.branch, below(_OTHER, tensors))
        except KeyError as missing:
            raise CheckpointError(f"{path} is no growlab checkpoint: it has no tensor {missing}") from None
        first = run.growth.window.n_taken - len(increments)
        self._written = {first + at: digest for at, digest in enumerate(numbers.increments)}
        self._known = set(numbers.increments)
        return run


def read_tensors(path: Path, sha256: str) -> tuple[dict[str, Shaped[Tensor, "..."]], dict[str, Any]]:
    """Read tensors to the CPU, and the header's numbers.

    Raises CheckpointError; a flipped bit does not load silently.
    """
    require_recorded(path, sha256)
    try:
        with safe_open(path, framework="pt") as file:
            header = read_header(path, file.metadata())
        return load_tensors(path.read_bytes()), header
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def require_recorded(path: Path, sha256: str) -> None:
    """Raise CheckpointError for a file that is missing, cannot be read, or is not the recorded one."""
    try:
        if sha256_of(path) != sha256:
            raise CheckpointError(f"{path} is damaged: its sha256 is not the recorded {sha256[:12]}…")
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error


def _numbers(path: Path, header: Mapping[str, Any]) -> CheckpointHeader:
    """Read the header. Raises CheckpointError for another format, and where something is missing or of no use."""
    if header.get("format") != _FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {quoted(header.get('format'))}, this growlab reads {_FORMAT}"
        )
    try:
        return header_of(header)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(f"{path} is no growlab checkpoint: its header's {place}: {first['msg']}") from None


def header_of(numbers: Mapping[str, Any]) -> CheckpointHeader:
    """Read what `pack` has written, beside the format, into objects of its own. Raises ValidationError."""
    return _adapter().validate_python({name: value for name, value in numbers.items() if name != "format"})


def _branch_numbers(branch: Branch) -> dict[str, Any]:
    plain = {name: value for name, value in vars(branch).items() if name not in ("facts", "other_facts", "other")}
    facts = {name: [asdict(fact) for fact in getattr(branch, name)] for name in ("facts", "other_facts")}
    return plain | facts | {"other": branch.other.numbers}


def _branch(numbers: BranchHeader, tensors: dict[str, Tensor]) -> Branch:
    return Branch(**vars(numbers) | {"other": Held(tensors=tensors, numbers=numbers.other)})


@cache
def _adapter() -> TypeAdapter[CheckpointHeader]:
    return TypeAdapter(CheckpointHeader)


def _names_by_layout(model: LanguageModel) -> list[str]:
    """The parameters' names in a model that is built from the layout alone, in the same order.

    Its units may be others than the grown model's: 'mlp' grown onto 'attn mlp' belongs to the unit below.
    """
    here = _places([model.blocks_of(unit) for unit in model.units])
    there = dict(zip(here, _places(units(model.layout.blocks)), strict=True))
    names = [name.split(".") for name, _ in model.named_parameters()]
    return [".".join([*there.get(tuple(parts[:3]), parts[:3]), *parts[3:]]) for parts in names]


def _places(grouped: Sequence[Sequence[BlockSpec]]) -> list[tuple[str, ...]]:
    """How the names of each block's parameters begin."""
    return [("units", str(unit), str(at)) for unit, blocks in enumerate(grouped) for at in range(len(blocks))]


def pack(run: TrialRun) -> tuple[dict[str, Shaped[Tensor, "..."]], dict[str, Any]]:
    """All that a run is, without the increments of its windows and without its other branch: tensors and plain JSON.

    The tensors are the run's own, on its device.
    """
    tensors = {f"model/{name}": parameter.detach() for name, parameter in run.named_parameters()}
    tensors |= {f"adam/{name}": tensor for name, tensor in run.optimizer.state().items()}
    tensors |= run.growth.paths.tensors()
    tensors |= {f"rng/{device_type}": state for device_type, state in rng_states(run.device).items()}
    tensors |= {f"average/{name}": mean for name, mean in run.average.means.items()}
    tensors["loss_sum"] = run.loss_sum
    numbers = {
        "format": _FORMAT,
        "grown": run.grown,
        "counters": asdict(run.counters),
        "loss_count": run.loss_count,
        "growth": asdict(run.growth.state()),
        "n_taken": run.growth.window.n_taken,
        "born": run.optimizer.born,
        "n_averaged": run.average.n,
    }
    return tensors, numbers


def unpack(
    run: TrialRun,
    tensors: dict[str, Shaped[Tensor, "..."]],
    numbers: CheckpointHeader,
    increments: list[dict[str, Shaped[Tensor, "..."]]],
) -> None:
    """Give a run that has its units already all that `pack` took. The numbers become the run's own, tensors do not."""
    with torch.no_grad():
        for name, parameter in run.named_parameters():
            parameter.copy_(tensors[f"model/{name}"])
    run.counters = numbers.counters
    run.advance_stage()
    run.growth.restore(numbers.growth)
    run.growth.window.n_taken = numbers.n_taken
    run.growth.restore_paths(tensors, increments, run.device)
    run.optimizer.load(below("adam/", tensors))
    run.average.load(numbers.n_averaged, below("average/", tensors), run.device)
    run.growth.apply_freezing()
    run.refit_step()
    run.loss_sum.copy_(tensors["loss_sum"])  # in place: a recorded step adds to this one
    run.loss_count = numbers.loss_count
    set_rng_states(below("rng/", tensors), run.device)


def _require_same_code(path: Path, run: TrialRun, tensors: dict[str, Tensor]) -> None:
    saved = {name: tuple(tensor.shape) for name, tensor in below("model/", tensors).items()}
    built = {name: tuple(parameter.shape) for name, parameter in run.named_parameters()}
    for name in sorted(saved.keys() | built.keys()):
        if saved.get(name) != built.get(name):
            raise OtherCode(
                f"{path} was written by other code: it has {name} of shape {saved.get(name, 'none')}, the model built "
                f"now has {built.get(name, 'none')}; bring back the plugin, or the growlab, that wrote it"
            )


def below(prefix: str, tensors: dict[str, Shaped[Tensor, "..."]]) -> dict[str, Shaped[Tensor, "..."]]:
    """The tensors whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
