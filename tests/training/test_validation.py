"""A validation pass from batches of one shape is the one from batches as they come."""

from collections.abc import Callable

import pytest
import torch

from growlab.data.batches import n_predicted, validation_batches
from growlab.data.corpus import Corpus, load_corpus
from growlab.scalar import with_defaults
from growlab.specs import DataSpec, TrialSpec
from growlab.training.engine import EagerEngine, Execution
from growlab.training.run import TrialRun, fresh_run
from growlab.training.validation import RecordedPass, even_batches

MakeSpec = Callable[..., TrialSpec]
CPU = torch.device("cpu")
RECALL = with_defaults(DataSpec, source="recall", tokenizer="ids", vocab_size=16, n_items=2)


def in_one_shape(run: TrialRun) -> RecordedPass:
    steps = EagerEngine(Execution.EAGER, lambda: None)
    return RecordedPass(run.model, run.corpus.val, run.spec.train, run.device, steps)


def test_batches_that_are_filled_up_are_of_one_shape_and_predict_what_they_did(corpus: Corpus) -> None:
    as_they_come = list(validation_batches(corpus.val, 16, 4))
    assert len({x_BT.shape for x_BT, _ in as_they_come}) == 3  # a few windows are left, and a short one

    even = list(even_batches(corpus.val, 16, 4))

    assert {tuple(ids_BT.shape) for batch in even for ids_BT in batch} == {(4, 16)}
    assert [n_predicted(y_BT) for _, y_BT in even] == [n_predicted(y_BT) for _, y_BT in as_they_come]


@pytest.mark.parametrize("data", ["text", "recall"])
def test_what_fills_a_batch_up_is_not_in_the_loss(make_spec: MakeSpec, corpus: Corpus, data: str) -> None:
    corpus = corpus if data == "text" else load_corpus(RECALL)
    blocks = "attn[n_heads=2] conv mamba moe[n_experts=4] hebbian mlp"
    run = fresh_run(make_spec(layout=f"d=16 {blocks}", batch_size=3, dropout=0.5), corpus, CPU)
    for _ in range(3):
        run.train_step()
    expected = run.evaluate()

    found = in_one_shape(run).evaluate()

    assert found.loss == pytest.approx(expected.loss, rel=1e-6)
    assert found.accuracy == expected.accuracy
    assert run.model.training


@pytest.mark.gpu
@pytest.mark.parametrize(
    "blocks", ["mix(attn,ssm) moe", "act(attn mlp) hebbian", "mamba2 router(conv)", "front=patch mamba"]
)
def test_a_recorded_pass_sees_the_weights_of_today_and_the_units_of_today(
    make_spec: MakeSpec, corpus: Corpus, monkeypatch: pytest.MonkeyPatch, blocks: str
) -> None:
    monkeypatch.setenv("GROWLAB_ENGINE", "graph")
    spec = make_spec(layout=f"d=32 {blocks}", trigger="stagnation", max_depth=6, batch_size=4)
    run = fresh_run(spec, corpus, torch.device("cuda"))
    seen, expected = [], []
    for step in range(1, 31):
        run.train_step()
        if step % 5 == 0:
            seen.append(run.evaluate().loss)
            expected.append(fresh_eyes(run))
        if step == 15:
            run.adopt_units(run.growth.grow(step))

    assert seen == pytest.approx(expected, rel=1e-4)
    assert len(set(seen)) == len(seen)


def fresh_eyes(run: TrialRun) -> float:
    from growlab.training.evaluation import evaluate

    train = run.spec.train
    how = {"seq_len": train.seq_len, "batch_size": train.batch_size, "precision": train.precision}
    return evaluate(run.model, run.corpus.val, device=run.device, **how).loss
