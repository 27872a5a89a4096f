import copy
import math
from collections.abc import Callable

import pytest
import torch

from growlab.data.batches import IGNORED, validation_batches
from growlab.data.corpus import Corpus, load_corpus
from growlab.model.language_model import LanguageModel
from growlab.scalar import with_defaults
from growlab.specs import DataSpec, TrialSpec
from growlab.training.evaluation import Evaluation, evaluate
from growlab.training.run import fresh_run

MakeSpec = Callable[..., TrialSpec]
CPU = torch.device("cpu")
SEQ_LEN = 16


@pytest.fixture
def model(make_spec: MakeSpec, corpus: Corpus) -> LanguageModel:
    """Trained a little, so that its losses differ from token to token; in training mode, with dropout."""
    run = fresh_run(make_spec(layout="d=16 attn[n_heads=2] mlp conv mlp", dropout=0.5, lr=0.01), corpus, CPU)
    for _ in range(5):
        run.train_step()
    return run.model


def evaluation(model: LanguageModel, corpus: Corpus, batch_size: int = 4) -> Evaluation:
    return evaluate(model, corpus.val, seq_len=SEQ_LEN, batch_size=batch_size, precision="fp32", device=CPU)


def val_loss(model: LanguageModel, corpus: Corpus, batch_size: int = 4) -> float:
    return evaluation(model, corpus, batch_size).loss


def by_hand(model: LanguageModel, corpus: Corpus) -> float:
    """The mean over every token but the first, one after another, in float64."""
    ids = torch.tensor(corpus.val.tolist())
    exact = copy.deepcopy(model).double().eval()
    total = 0.0
    with torch.no_grad():
        for at in range(1, len(ids)):
            window_begins = (at - 1) // SEQ_LEN * SEQ_LEN
            logits_V = exact(ids[window_begins:at].view(1, -1))[0, -1]
            total -= float(logits_V[ids[at]] - logits_V.logsumexp(0))

    return total / (len(ids) - 1)


def test_it_is_the_mean_over_every_token_but_the_first(model: LanguageModel, corpus: Corpus) -> None:
    assert len(corpus.val) % SEQ_LEN != 1  # the last window is a short one
    assert val_loss(model, corpus) == pytest.approx(by_hand(model, corpus), rel=1e-6)


def test_what_blocks_want_besides_is_not_in_it(make_spec: MakeSpec, corpus: Corpus) -> None:
    model = fresh_run(make_spec(layout="d=16 router[ponder=9.0](mlp)"), corpus, CPU).model
    ids_BT = torch.tensor(corpus.val[:SEQ_LEN].tolist())[None]
    _, penalty = model.objective(ids_BT, ids_BT)

    assert penalty is not None
    assert penalty.item() > 1
    assert val_loss(model, corpus) == pytest.approx(by_hand(model, corpus), rel=1e-6)


def test_it_does_not_depend_on_the_batch_size(model: LanguageModel, corpus: Corpus) -> None:
    losses = [val_loss(model, corpus, batch_size) for batch_size in (1, 3, 4, 1000)]

    assert losses == pytest.approx([losses[0]] * 4, abs=1e-6)


def test_it_is_deterministic_and_leaves_the_generator_of_dropout_alone(model: LanguageModel, corpus: Corpus) -> None:
    before = torch.get_rng_state()

    first, second = val_loss(model, corpus), val_loss(model, corpus)

    assert first == second
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_and_the_mode_is_restored(model: LanguageModel, corpus: Corpus, training: bool) -> None:
    plain = val_loss(copy.deepcopy(model).eval(), corpus)
    model.train(training)

    loss = val_loss(model, corpus)

    assert loss == plain
    assert {module.training for module in model.modules()} == {training}


def test_it_builds_no_graph_and_leaves_gradients_alone(model: LanguageModel, corpus: Corpus) -> None:
    val_loss(model, corpus)

    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_model_that_knows_nothing_loses_the_logarithm_of_the_vocabulary(model: LanguageModel, corpus: Corpus) -> None:
    torch.nn.init.zeros_(model.embedding.weight)

    assert val_loss(model, corpus) == pytest.approx(math.log(corpus.tokenizer.vocab_size), abs=1e-6)


def test_of_a_task_it_is_the_mean_over_the_answers_and_counts_those_that_are_right(make_spec: MakeSpec) -> None:
    data = with_defaults(DataSpec, source="recall", tokenizer="ids", vocab_size=16, n_items=3)
    task = load_corpus(data)
    run = fresh_run(make_spec(lr=0.01), task, CPU)
    for _ in range(5):
        run.train_step()

    evaluations = [evaluation(run.model, task, batch_size) for batch_size in (1, 100, 256)]

    exact, total, n_right = copy.deepcopy(run.model).double().eval(), 0.0, 0
    for x_BT, y_BT in validation_batches(task.val, SEQ_LEN, 256):
        with torch.no_grad():
            log_probs_BTV = torch.log_softmax(exact(x_BT), dim=-1)
        for b, t in (y_BT != IGNORED).nonzero().tolist():
            total -= float(log_probs_BTV[b, t, y_BT[b, t]])
            n_right += int(log_probs_BTV[b, t].argmax()) == int(y_BT[b, t])
    assert [each.loss for each in evaluations] == pytest.approx([total / (256 * 3)] * 3, abs=1e-5)
    assert 0 < n_right < 256 * 3
    assert [each.accuracy for each in evaluations] == [n_right / (256 * 3)] * 3


def test_a_text_has_no_accuracy(model: LanguageModel, corpus: Corpus) -> None:
    assert evaluation(model, corpus).accuracy is None
