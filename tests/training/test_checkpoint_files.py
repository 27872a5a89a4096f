import errno
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from growlab.data.corpus import Corpus
from growlab.data.tokenizers import load_tokenizer
from growlab.errors import CheckpointError, OtherCode
from growlab.files import sha256_of
from growlab.layout import parse
from growlab.model.language_model import build_model
from growlab.records import Artifact
from growlab.specs import TrialSpec
from growlab.training.checkpoint import CheckpointFolder, read_tensors
from growlab.training.run import TrialRun, fresh_run

MakeSpec = Callable[..., TrialSpec]
NewTrial = Callable[[TrialSpec], Any]  # a Trial, see conftest
CPU = torch.device("cpu")


@pytest.fixture
def run(make_spec: MakeSpec, corpus: Corpus) -> TrialRun:
    """Trained for a step, with a window of three snapshots."""
    run = fresh_run(make_spec(), corpus, CPU)
    for _ in range(3):
        snapshot(run)
    return run


def snapshot(run: TrialRun) -> None:
    run.train_step()
    run.growth.window.snapshot(run.model.units[run.growth.watched])


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def identity(path: Path) -> tuple[int, int]:
    return path.stat().st_ino, path.stat().st_mtime_ns


# ---- what is written -------------------------------------------------------------------------------------------


def test_a_checkpoint_is_one_file_and_one_more_per_increment(run: TrialRun, tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, "study/7")

    artifact = folder.save(run)

    [checkpoint] = (tmp_path / "study/7").glob("*.safetensors")
    increments = list((tmp_path / "study/7/increments").iterdir())
    assert tmp_path / artifact.path == checkpoint
    assert (artifact.kind, artifact.step, artifact.n_bytes) == ("checkpoint", 3, checkpoint.stat().st_size)
    assert artifact.sha256 == sha256_of(checkpoint)
    assert len(increments) == 2
    assert all(path.stem == sha256_of(path) for path in increments)


def test_every_file_is_safetensors_and_nothing_is_pickled(run: TrialRun, tmp_path: Path) -> None:
    CheckpointFolder(tmp_path, "trial").save(run)

    for name in files(tmp_path):
        with safe_open(tmp_path / name, framework="pt") as file:
            assert file.keys()


def test_an_increment_is_written_once(run: TrialRun, tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, "trial")
    folder.save(run)
    before = {path: identity(path) for path in tmp_path.glob("trial/increments/*")}

    snapshot(run)
    folder.save(run)

    assert {path: identity(path) for path in before} == before
    assert len(list(tmp_path.glob("trial/increments/*"))) == len(before) + 1


def test_a_resumed_run_writes_no_increment_again(
    run: TrialRun, make_spec: MakeSpec, corpus: Corpus, tmp_path: Path
) -> None:
    artifact = CheckpointFolder(tmp_path, "trial").save(run)
    before = {path: identity(path) for path in tmp_path.glob("trial/increments/*")}
    folder = CheckpointFolder(tmp_path, "trial")

    resumed = folder.load(artifact, make_spec(), corpus, CPU)
    folder.save(resumed)

    assert {path: identity(path) for path in tmp_path.glob("trial/increments/*")} == before


def test_what_is_not_used_any_more_is_deleted(run: TrialRun, tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, "trial")
    for _ in range(4):  # the window of four slides
        folder.save(run)
        snapshot(run)
        run.counters.step += 1

    kept = folder.save(run)
    folder.forget_before(kept)

    increments = read_tensors(tmp_path / kept.path, kept.sha256)[1]["increments"]
    assert len(increments) == 3
    assert files(tmp_path) == {kept.path, *(f"trial/increments/{digest}.safetensors" for digest in increments)}


def test_after_growth_the_old_increments_are_deleted(run: TrialRun, tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, "trial")
    folder.save(run)
    run.adopt_units(run.growth.grow(run.counters.step))
    run.counters.step += 1

    kept = folder.save(run)
    folder.forget_before(kept)

    assert files(tmp_path) == {kept.path}


def test_a_worker_that_wakes_too_late_deletes_nothing_of_its_successors(
    run: TrialRun, make_spec: MakeSpec, corpus: Corpus, tmp_path: Path
) -> None:
    sleeper, successor = CheckpointFolder(tmp_path, "trial"), CheckpointFolder(tmp_path, "trial")
    fell_asleep_at = sleeper.save(run)
    further = successor.load(fell_asleep_at, make_spec(), corpus, CPU)
    snapshot(further)
    further.counters.step += 5
    newest = successor.save(further)
    successor.forget_before(newest)

    sleeper.forget_before(fell_asleep_at)

    again = CheckpointFolder(tmp_path, "trial").load(newest, make_spec(), corpus, CPU)
    assert again.counters.step == further.counters.step


def test_when_all_is_over_nothing_of_killed_attempts_stays(run: TrialRun, tmp_path: Path) -> None:
    CheckpointFolder(tmp_path, "trial").save(run)
    (tmp_path / "trial" / ".checkpoint-00000001-0123.safetensors.77-abcd.part").write_bytes(b"half")

    CheckpointFolder(tmp_path, "trial").forget_all()

    assert files(tmp_path) == set()


def test_a_finished_trial_leaves_its_model_and_its_tokenizer(make_spec: MakeSpec, new_trial: NewTrial) -> None:
    trial = new_trial(make_spec())

    trial.attempt(checkpoint_every_s=0.0)

    model, tokenizer = trial.recorder.artifacts
    assert (model.kind, tokenizer.kind) == ("model", "tokenizer")
    assert files(trial.root) == {model.path, tokenizer.path}
    assert load_tokenizer(trial.root / tokenizer.path) == trial.corpus.tokenizer
    assert [sha256_of(trial.root / each.path) for each in (model, tokenizer)] == [model.sha256, tokenizer.sha256]


@pytest.mark.parametrize("unit", ["last", "mlp", "conv mlp conv[kernel=3] mlp"])
def test_a_model_file_fits_the_model_that_its_layout_describes(
    make_spec: MakeSpec, new_trial: NewTrial, unit: str
) -> None:
    trial = new_trial(make_spec(unit=unit, entry_scale=1.0))
    result = trial.attempt()

    artifact, _ = trial.recorder.artifacts
    tensors, header = read_tensors(trial.root / artifact.path, artifact.sha256)
    layout = parse(header["layout"])
    model = build_model(layout, vocab_size=header["vocab_size"], max_depth=layout.depth, dropout=0.0, seed=1)
    model.load_state_dict(tensors)

    assert layout.depth == result.depth_end > 2
    ids = torch.from_numpy(trial.corpus.val[:17].astype("int64"))
    assert model.eval().loss(ids[None, :-1], ids[None, 1:]).item() < 3.5


# ---- what cannot be read ---------------------------------------------------------------------------------------


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def remove(path: Path) -> None:
    path.unlink()


DAMAGES = pytest.mark.parametrize(
    ("damage", "message"),
    [(flip_a_bit, "is damaged: its sha256"), (truncate, "is damaged: its sha256"), (remove, "is missing")],
)


@DAMAGES
@pytest.mark.parametrize("victim", ["checkpoint-*.safetensors", "increments/*.safetensors"])
def test_a_damaged_file_is_refused_by_name(
    run: TrialRun,
    make_spec: MakeSpec,
    corpus: Corpus,
    tmp_path: Path,
    damage: Callable[[Path], None],
    message: str,
    victim: str,
) -> None:
    folder = CheckpointFolder(tmp_path, "trial")
    artifact = folder.save(run)
    path = min((tmp_path / "trial").glob(victim))
    damage(path)

    with pytest.raises(CheckpointError, match=f"{path} {message}"):
        folder.load(artifact, make_spec(), corpus, CPU)


@DAMAGES
def test_a_trial_whose_checkpoint_is_damaged_starts_again_and_says_so(
    make_spec: MakeSpec, new_trial: NewTrial, damage: Callable[[Path], None], message: str
) -> None:
    whole, damaged = new_trial(make_spec(dropout=0.1, steps=25)), new_trial(make_spec(dropout=0.1, steps=25))
    whole.attempt()
    damaged.attempt(stop_at=20)
    damage(damaged.root / damaged.recorder.committed.path)

    damaged.attempt(stop_at=10)
    damaged.attempt()

    [reason] = damaged.recorder.reasons_to_start_over
    assert reason.startswith("started again from step 0: ")
    assert message in reason
    assert damaged.recorder.timeless == whole.recorder.timeless
    assert damaged.recorder.artifacts == whole.recorder.artifacts
    assert files(damaged.root) == {each.path for each in whole.recorder.artifacts}


def test_a_checkpoint_of_another_format_is_refused(
    run: TrialRun, make_spec: MakeSpec, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = CheckpointFolder(tmp_path, "trial")
    with monkeypatch.context() as patch:
        patch.setattr("growlab.training.checkpoint._FORMAT", 99)
        artifact = folder.save(run)

    with pytest.raises(CheckpointError, match="has checkpoint format 99, this growlab reads 1"):
        folder.load(artifact, make_spec(), corpus, CPU)


def rewrite_header(run_folder: Path, artifact: Artifact, header: str, without: str = "") -> Artifact:
    """The same tensors, or all but one, under another header: the file and its recorded hash agree."""
    path = run_folder / artifact.path
    tensors = {name: each for name, each in load_file(path).items() if name != without}
    save_file(tensors, path, {"growlab": header})
    return replace(artifact, sha256=sha256_of(path))


def changed(header: dict[str, Any], **changes: Any) -> str:
    return json.dumps(header | changes)


@pytest.mark.parametrize(
    ("header_of", "message"),
    [
        (lambda _: "[]", "its header must be a JSON object, got '\\[\\]'"),
        (lambda _: "{", "its header must be a JSON object, got '{'"),
        (lambda _: "[" * 100_000, "its header must be a JSON object, got '.*…"),
        (lambda _: '{"format": ' + "1" * 5_000 + "}", "its header must be a JSON object"),
        (lambda _: '{"format": {"a": 1}}', "has checkpoint format {'a': 1}, this growlab reads 1"),
        (lambda _: '{"format": 1}', "its header's grown: Field required"),
        (lambda header: changed(header, counters={"step": "many"}), r"its header's counters\.step: Input should be"),
        (lambda header: changed(header, growth={"phase": "sleep"}), r"its header's growth\.phase: Input should be"),
        (lambda header: changed(header, born=3), "its header's born: Input should be"),
        (lambda header: changed(header, increments=["../../x"]), r"its header's increments\.0: String should match"),
        (lambda header: changed(header, grown=["mlp["]), "its header's grown: layout 'mlp\\['"),
    ],
)
def test_a_checkpoint_with_the_right_hash_and_a_wrong_header_is_refused_by_name(
    run: TrialRun,
    make_spec: MakeSpec,
    corpus: Corpus,
    tmp_path: Path,
    header_of: Callable[[dict[str, Any]], str],
    message: str,
) -> None:
    folder = CheckpointFolder(tmp_path, "trial")
    artifact = folder.save(run)
    right = read_tensors(tmp_path / artifact.path, artifact.sha256)[1]
    forged = rewrite_header(tmp_path, artifact, header_of(right))

    with pytest.raises(CheckpointError, match=f"^{tmp_path / artifact.path} .*{message}"):
        folder.load(forged, make_spec(), corpus, CPU)


@pytest.mark.parametrize("ending", ["loss_sum", "/gram", "rng/cpu"])
def test_a_checkpoint_that_lacks_a_tensor_is_refused_by_name(
    run: TrialRun, make_spec: MakeSpec, corpus: Corpus, tmp_path: Path, ending: str
) -> None:
    folder = CheckpointFolder(tmp_path, "trial")
    artifact = folder.save(run)
    tensors, right = read_tensors(tmp_path / artifact.path, artifact.sha256)
    missing = next(name for name in tensors if name.endswith(ending))
    forged = rewrite_header(tmp_path, artifact, json.dumps(right), without=missing)

    with pytest.raises(CheckpointError, match=f"is no growlab checkpoint: it has no tensor '.*{ending[-3:]}'"):
        folder.load(forged, make_spec(), corpus, CPU)


def test_a_trial_whose_checkpoint_has_a_wrong_header_starts_again(make_spec: MakeSpec, new_trial: NewTrial) -> None:
    trial = new_trial(make_spec(steps=25))
    trial.attempt(stop_at=20)
    trial.recorder.committed = rewrite_header(trial.root, trial.recorder.committed, '{"format": 1}')

    trial.attempt()

    [reason] = trial.recorder.reasons_to_start_over
    assert "its header's grown: Field required" in reason
    assert trial.recorder.result.steps == 25


def test_a_checkpoint_that_is_a_device_is_refused_and_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").symlink_to("/dev/zero")

    with pytest.raises(CheckpointError, match="cannot be read: it is a pipe or a device, not a regular file"):
        read_tensors(tmp_path / "x.safetensors", "0" * 64)


# ---- what cannot be written ------------------------------------------------------------------------------------


def test_a_checkpoint_of_a_model_that_is_built_otherwise_now_costs_no_progress(
    run: TrialRun, make_spec: MakeSpec, corpus: Corpus, tmp_path: Path
) -> None:
    """As when a plugin was edited between a stop and the next worker."""
    saved = CheckpointFolder(tmp_path, "trial").save(run)
    other = make_spec(layout="d=16 attn[n_heads=2] mlp[expand=4.0]")

    message = r"was written by other code: it has units\.0\.1\.mixer\.in_proj\.weight of shape \(\d+, 16\), the model"
    with pytest.raises(OtherCode, match=message):
        CheckpointFolder(tmp_path, "trial").load(saved, other, corpus, torch.device("cpu"))

    assert (tmp_path / saved.path).exists()


def test_a_disk_that_refuses_is_said_with_the_place(run: TrialRun, tmp_path: Path) -> None:
    (tmp_path / "trial").write_text("a file where the folder should be")
    folder = CheckpointFolder(tmp_path, "trial")

    with pytest.raises(CheckpointError, match=f"cannot write a checkpoint of step 3 in {tmp_path}/trial: "):
        folder.save(run)
    with pytest.raises(CheckpointError, match=f"cannot write the model in {tmp_path}/trial: "):
        folder.save_model(run)
    with pytest.raises(CheckpointError, match=f"cannot write {tmp_path}/trial/tokenizer.json: "):
        folder.save_tokenizer(run.corpus.tokenizer)


def test_a_full_disk_costs_nothing_that_was_committed(
    make_spec: MakeSpec, new_trial: NewTrial, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, refused = (new_trial(make_spec(dropout=0.1, steps=25)) for _ in range(2))
    whole.attempt()
    refused.attempt(stop_at=10)
    committed = refused.recorder.committed

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("growlab.training.checkpoint.write_atomically", full)
        with pytest.raises(CheckpointError, match=r"checkpoint of step 18 .*No space left on device"):
            refused.attempt(stop_at=18)
    kept = refused.recorder.committed
    refused.attempt()

    assert kept == committed
    assert refused.recorder.reasons_to_start_over == []
    assert refused.recorder.timeless == whole.recorder.timeless
    assert refused.recorder.artifacts == whole.recorder.artifacts
