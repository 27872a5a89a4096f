"""The growth campaign (benchmarks/growth): every arm can be trained, nothing is trained twice, and it ends in time."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace

import pytest

from growlab.ablate.cells import Cell
from growlab.ablate.queue import proposals
from growlab.records import TrialResult, TrialState

FOLDER = Path(__file__).parents[2] / "benchmarks" / "growth"
OF_A_CHECKOUT = {"PYTHONPATH": str(FOLDER.parents[1]), "OMP_NUM_THREADS": "1"}
QUESTIONS = sorted(path.stem for path in (FOLDER / "questions").glob("*.yaml"))


@pytest.fixture(scope="module")
def scripts():
    """The modules of the benchmark, which is a folder of scripts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import campaign
        import crew
        import ledger
        import plans
        import question
        import tables
    return SimpleNamespace(campaign=campaign, crew=crew, ledger=ledger, plans=plans, question=question, tables=tables)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for name in ("prose", "dictionary"):
        (folder / f"{name}.txt").write_text("to be or not to be, that is the question. " * 400)
    return folder


@pytest.fixture
def read(scripts, texts: Path) -> Callable[..., object]:
    return lambda name, *changes: scripts.question.Question.read(
        name, FOLDER / "questions" / f"{name}.yaml", texts, changes
    )


@pytest.fixture
def make_slot(scripts) -> Callable[..., object]:
    """Slots that have trained a job in no time; where there is no loss, the training raised."""

    class Immediate:
        device = "cpu"

        def __init__(self, losses: Callable[[object], float]) -> None:
            self.losses, self.job, self.trained = losses, None, []
            self.pipe, self._theirs = Pipe()

        def give(self, job) -> None:
            self.job = job
            self.trained.append(job.key)
            loss = self.losses(job.spec)
            if loss is None:
                self._theirs.send(scripts.crew.Done(key=job.key, result=None, error="the device is gone"))
                return
            result = TrialResult(
                state=TrialState.COMPLETED,
                layout_end=job.spec.layout,
                depth_end=job.spec.layout.count(" ") * 4,
                n_params=1000,
                val_loss=loss,
                best_val_loss=loss,
                bits_per_byte=None,
                flops=job.spec.budget.amount,
                tokens=1000,
                steps=10,
                elapsed_s=1.0,
            )
            self._theirs.send(scripts.crew.Done(key=job.key, result=result))

        def take(self):
            self.job = None
            return self.pipe.recv()

    return Immediate


def run(scripts, campaign, slots, *, seconds: float = 1e6) -> bool:
    return scripts.campaign.Run(campaign, slots, 1, time.monotonic() + seconds).train()


@pytest.mark.parametrize("name", [name for name in QUESTIONS if not name.startswith("plans_")])
def test_every_arm_of_every_question_is_a_trial(read, name: str) -> None:
    question = read(name)

    specs = [question.spec(Cell(stage="repeat", arm=arm, budget=1.0, repeat=0, values=())) for arm in question.arms]

    assert len(specs) == len(question.arms) >= 3
    assert {spec.budget.amount for spec in specs} == {question.ablation.flops}


def test_a_cell_is_the_trial_that_an_ablation_would_queue(read) -> None:
    question = read("early")
    cells = [
        Cell(stage="repeat", arm="ungrown 12", budget=1.4, repeat=3, values=(("train.lr", 2e-3),)),
        Cell(stage="tuning", arm="silent", budget=1.0, repeat=0, values=(("train.lr", 4e-3),)),
    ]

    queued = proposals(question.ablation, question.arms, question.study, cells, first=0)

    assert [question.spec(cell) for cell in cells] == [each.spec for each in queued]


def test_a_training_is_the_same_one_wherever_its_text_lies_and_whoever_asks(scripts, read, tmp_path: Path) -> None:
    early, late = read("early"), read("late")
    (tmp_path / "prose.txt").write_text("to be or not to be, that is the question. " * 400)
    moved = scripts.question.Question.read("early", FOLDER / "questions" / "early.yaml", tmp_path)
    cell = Cell(stage="repeat", arm="ungrown 16", budget=1.0, repeat=1, values=(("train.lr", 2e-3),))

    keys = {question.key(cell) for question in (early, late, moved)}

    assert len(keys) == 1
    assert early.key(Cell(**{**vars(cell), "repeat": 2})) not in keys


def test_a_campaign_goes_on_where_it_was_and_trains_nothing_twice(scripts, texts, make_slot, tmp_path: Path) -> None:
    only = ["depth", "silent"]
    first, second = (make_slot(lambda spec: 1.0) for _ in range(2))

    campaign = scripts.campaign.Campaign(tmp_path, texts, only[:1])
    assert run(scripts, campaign, [first, second])
    with (tmp_path / "trainings.tsv").open("a") as file:
        file.write("0123456789abcdef\tdepth\trepe")  # a line that was cut off
    third = make_slot(lambda spec: 2.0)
    again = scripts.campaign.Campaign(tmp_path, texts, only)
    assert run(scripts, again, [third])

    assert len(first.trained + second.trained) == 6
    assert not set(first.trained + second.trained) & set(third.trained)
    assert len(third.trained) == len(set(third.trained)) == 60
    assert len(list(scripts.ledger.Ledger(tmp_path / "trainings.tsv"))) == 66
    assert again.question("depth").result(again.ledger).arms[0].val_loss.mean == 1.0


def test_what_would_not_end_in_time_is_not_begun(scripts, texts, make_slot, tmp_path: Path) -> None:
    slot = make_slot(lambda spec: 1.0)
    campaign = scripts.campaign.Campaign(tmp_path, texts, ["depth"])
    seconds = scripts.campaign.S_BESIDE + 0.6 * scripts.campaign.S_PER_FLOP * scripts.campaign.F

    over = run(scripts, campaign, [slot], seconds=seconds)

    assert not over
    assert {line.arm for line in campaign.ledger} == {"ungrown 8"}  # half as many FLOPs as the others'


def test_a_training_without_a_result_is_tried_twice_and_is_no_line(scripts, texts, make_slot, tmp_path: Path) -> None:
    slot = make_slot(lambda spec: None if spec.growth.grows else 1.0)
    campaign = scripts.campaign.Campaign(tmp_path, texts, ["depth"])

    run(scripts, campaign, [slot])

    assert len(slot.trained) == 2 * 2 + 4
    assert {line.arm for line in campaign.ledger} == {"ungrown 8", "ungrown 16"}
    assert not campaign.question("depth").is_over(campaign.ledger)


def test_where_nothing_has_a_result_a_campaign_ends(scripts, texts, make_slot, tmp_path: Path) -> None:
    campaign = scripts.campaign.Campaign(tmp_path, texts, ["silent"])

    with pytest.raises(SystemExit, match="12 trainings ended without a result"):
        run(scripts, campaign, [make_slot(lambda spec: None)])


def test_a_gate_and_a_table_say_what_the_trainings_said(scripts, texts, make_slot, tmp_path, capsys) -> None:
    losses = {"ungrown 8": 1.5, "ungrown 16": 1.4}
    slot = make_slot(lambda spec: 1.5 if "x4" in spec.layout else 1.4)
    campaign = scripts.campaign.Campaign(tmp_path, texts, ["depth"])
    run(scripts, campaign, [slot])

    result = scripts.tables.show(campaign.question("depth"), campaign.ledger)

    said = capsys.readouterr().out
    assert {row.arm: row.val_loss.mean for row in result.arms if row.arm in losses} == losses
    assert "depth is worth 0.1000 nats after equal steps, 0.02 are asked for: so growth can be asked about" in said


def test_a_search_that_has_not_ended_keeps_what_comes_after_it_waiting(scripts, texts, tmp_path: Path) -> None:
    campaign = scripts.campaign.Campaign(tmp_path, texts, ["depth", "plans_grown", "plans_fresh", "silent"])

    assert [question.name for question in campaign.questions()] == ["depth"]
    assert campaign.next_search() == "plans_grown"
    assert campaign.question("plans_fresh") is None


@pytest.mark.slow
def test_every_arm_trains_and_grows_in_miniature(texts: Path, tmp_path: Path) -> None:
    words = [str(FOLDER / "campaign.py"), str(tmp_path), str(texts), "--tiny", "--device", "cpu", "--slots", "2"]

    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env={**os.environ, **OF_A_CHECKOUT})

    assert done.stdout.endswith("nothing is left\n0 fault(s)\n"), done.stdout[-2000:] + done.stderr[-2000:]
