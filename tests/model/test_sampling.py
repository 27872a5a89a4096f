"""How the next token is drawn, and text from a model."""

import itertools
import math
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from growlab.errors import UsageError
from growlab.layout import parse
from growlab.model.decoding import Decoder, Drawer, Sampling, draw, generate, ranked

LAYOUT = parse("d=16 attn mlp conv mlp")
HALVES = torch.tensor([0.125, 0.5, 0.0625, 0.25, 0.0625]).log()  # by rank: tokens 1, 3, 0, then 2 and 4
logits = st.lists(st.floats(-20, 20, width=32), min_size=1, max_size=12).map(torch.tensor)


def drawn(logits_V, *, times=400, **options) -> Counter:
    random = torch.Generator().manual_seed(0)
    return Counter(draw(logits_V, Sampling(**options), random) for _ in range(times))


def text(model, prompt=(1, 2, 3), *, length=20, seed=0, **options) -> list[int]:
    return list(generate(model, prompt, length, Sampling(**options), seed=seed))


# ---- one token --------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(logits_V=logits, seed=st.integers(0, 9))
def test_temperature_zero_and_the_single_best_are_the_argmax(logits_V, seed):
    random = torch.Generator().manual_seed(seed)
    best = int(logits_V.argmax())

    assert draw(logits_V, Sampling(temperature=0.0), random) == best
    assert draw(logits_V, Sampling(top_k=1), random) == best
    assert draw(logits_V, Sampling(temperature=0.0, top_k=3, top_p=0.5), random) == best


def test_a_tie_goes_to_the_lowest_token():
    assert set(drawn(torch.tensor([0.0, 2.0, 2.0]), temperature=0.0)) == {1}
    assert set(drawn(torch.tensor([0.0, 2.0, 2.0]), top_k=1)) == {1}


@pytest.mark.parametrize("temperature", [1e-3, 1e-30, 1e-300])
def test_a_temperature_near_zero_is_greedy_too(temperature):
    assert set(drawn(torch.tensor([5.0, 9.0, -3.0]), temperature=temperature, times=20)) == {1}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_the_softmax_says(temperature):
    counts, times = drawn(HALVES, temperature=temperature, times=4000), 4000

    probabilities = torch.softmax(HALVES / temperature, dim=-1).tolist()
    for token, probability in enumerate(probabilities):
        assert counts[token] / times == pytest.approx(probability, abs=4 * math.sqrt(probability / times))


@pytest.mark.parametrize(("top_k", "kept"), [(0, {0, 1, 2, 3, 4}), (2, {1, 3}), (3, {0, 1, 3}), (99, {0, 1, 2, 3, 4})])
def test_top_k_keeps_the_k_likeliest(top_k, kept):
    assert set(drawn(HALVES, top_k=top_k)) == kept


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [(1e-9, {1}), (0.49, {1}), (0.51, {1, 3}), (0.74, {1, 3}), (0.76, {0, 1, 3}), (0.9, {0, 1, 2, 3})],
)
def test_top_p_keeps_the_fewest_tokens_that_reach_it(top_p, kept):
    assert set(drawn(HALVES, top_p=top_p)) == kept


@settings(deadline=None, max_examples=50)
@given(logits_V=logits, top_p=st.floats(0.01, 0.99), seed=st.integers(0, 999))
def test_what_is_drawn_lies_in_the_smallest_set_that_reaches_top_p(logits_V, top_p, seed):
    token = draw(logits_V, Sampling(top_p=top_p), torch.Generator().manual_seed(seed))

    probabilities = torch.softmax(logits_V.double(), dim=-1)
    likelier = float(probabilities[probabilities > (1 + 1e-6) * probabilities[token]].sum())
    assert likelier < top_p + 1e-6


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"top_k": 2, "top_p": 0.9}, {1, 3}),
        ({"top_k": 4, "top_p": 0.6}, {1, 3}),
        ({"top_k": 2, "top_p": 0.6}, {1}),  # two thirds of what top-k left
        ({"top_k": 3, "top_p": 0.9, "temperature": 5.0}, {0, 1, 3}),
        ({"top_p": 0.6, "temperature": 0.1}, {1}),
    ],
)
def test_temperature_top_k_and_top_p_act_together(options, kept):
    assert set(drawn(HALVES, **options)) == kept


def test_top_p_is_taken_of_what_top_k_left():
    assert set(drawn(torch.tensor([0.4, 0.3, 0.2, 0.1]).log(), top_k=2, top_p=0.5)) == {0}


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("top_k", [2, 3, 5, 8])
@pytest.mark.parametrize("top_p", [0.3, 0.6, 0.9])
def test_tokens_are_as_likely_as_transformers_makes_them(temperature, top_k, top_p):
    from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    logits_V = torch.tensor([0.3, 2.0, -1.0, 1.4, 0.9, -0.2, 1.7, -0.6])

    warped_1V = TemperatureLogitsWarper(temperature)(None, logits_V[None])
    for warper in (TopKLogitsWarper(top_k), TopPLogitsWarper(top_p)):
        warped_1V = warper(None, warped_1V)

    weights_V, order_V = ranked(logits_V, Sampling(temperature=temperature, top_k=top_k, top_p=top_p))
    probs_V = (weights_V / weights_V.sum())[order_V.argsort()]
    torch.testing.assert_close(probs_V.float(), torch.softmax(warped_1V[0], dim=-1))


def test_a_token_that_cannot_be_is_never_drawn():
    assert set(drawn(torch.tensor([0.0, -math.inf, 0.0]))) == {0, 2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -0.1}, r"temperature must be at least 0, got -0\.1"),
        ({"temperature": math.nan}, "temperature must be"),
        ({"top_k": -1}, r"top-k must be at least 0 \(0: no limit\), got -1"),
        ({"top_p": 0.0}, r"top-p must be greater than 0 and at most 1, got 0\.0"),
        ({"top_p": 1.1}, r"top-p must be greater than 0 and at most 1, got 1\.1"),
        ({"top_p": math.nan}, "top-p must be greater than 0"),
    ],
)
def test_sampling_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        Sampling(**options)


# ---- text -------------------------------------------------------------------------------------------------------


def test_greedy_text_is_the_argmax_of_the_forward_pass_token_by_token(model_of):
    model, prompt = model_of(LAYOUT), [1, 2, 3]

    tokens = text(model, prompt, temperature=0.0)

    for at, token in enumerate(tokens):
        assert token == int(model(torch.tensor([prompt + tokens[:at]]))[0, -1].argmax())


def test_the_three_greedy_ways_write_one_text(model_of):
    model = model_of(LAYOUT)

    assert text(model, temperature=0.0) == text(model, top_k=1, seed=5) == text(model, top_p=1e-9, seed=6)


def test_a_seed_writes_one_text(model_of):
    model = model_of(LAYOUT)

    assert text(model, seed=1) == text(model, seed=1)
    assert len({tuple(text(model, seed=seed)) for seed in range(5)}) == 5


def test_the_global_generator_is_left_alone(model_of):
    model = model_of(LAYOUT, dropout=0.5)
    before = torch.get_rng_state()

    text(model)

    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_is_off_while_text_is_written_and_on_again_after(model_of):
    model = model_of(LAYOUT, dropout=0.5).train()

    tokens = text(model, temperature=0.0)

    assert model.training
    assert tokens == text(model_of(LAYOUT), temperature=0.0)


@pytest.mark.parametrize("training", [True, False])
def test_a_reader_who_leaves_early_leaves_the_model_in_its_mode(model_of, training):
    model = model_of(LAYOUT).train(training)

    writer = generate(model, [1], 100, Sampling(), seed=0)
    taken = list(itertools.islice(writer, 3))
    writer.close()

    assert len(taken) == 3
    assert model.training == training


def test_a_model_can_be_trained_after_it_wrote(model_of, ids):
    model = model_of(LAYOUT)

    text(model)

    model.loss(ids(1, 5), ids(1, 5)).backward()
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("length", [0, 1, 7])
def test_as_many_tokens_come_as_were_asked_for(model_of, length):
    model = model_of(LAYOUT)

    tokens = text(model, length=length)

    assert len(tokens) == length
    assert set(tokens) <= set(range(model.vocab_size))


def test_text_needs_a_token_to_start_from(model_of):
    with pytest.raises(AssertionError, match="at least one token to start from"):
        text(model_of(LAYOUT), prompt=[])


# ---- what is drawn less, or never -------------------------------------------------------------------------------


def penalised(logits, *, seen, never=(), times=400, **options) -> Counter:
    random = torch.Generator().manual_seed(0)
    return Counter(draw(logits, Sampling(**options), random, seen=seen, never=never) for _ in range(times))


def test_a_penalty_of_one_changes_nothing():
    assert penalised(HALVES, seen={0, 1, 2}, repetition_penalty=1.0) == drawn(HALVES)
    assert penalised(HALVES, seen=(), repetition_penalty=1.7) == drawn(HALVES)


@pytest.mark.parametrize("penalty", [1.3, 0.7])
def test_seen_tokens_are_drawn_as_often_as_penalised_logits_say(penalty):
    logits_V, times = torch.tensor([2.0, -1.0, 2.0, -1.0]), 4000

    counts = penalised(logits_V, seen={0, 1}, times=times, repetition_penalty=penalty)

    by_hand = torch.softmax(torch.tensor([2.0 / penalty, -1.0 * penalty, 2.0, -1.0]), dim=-1).tolist()
    for token, probability in enumerate(by_hand):
        assert counts[token] / times == pytest.approx(probability, abs=4 * math.sqrt(probability / times))
    assert logits_V.tolist() == [2.0, -1.0, 2.0, -1.0]


def test_a_greedy_draw_leaves_what_it_has_seen_for_what_is_nearly_as_likely():
    logits_V = torch.tensor([3.0, 2.9, -5.0])

    assert set(penalised(logits_V, seen={0}, repetition_penalty=1.1, temperature=0.0)) == {1}
    assert set(penalised(logits_V, seen={0, 1}, repetition_penalty=1.1, temperature=0.0)) == {0}


@torch.no_grad()
def test_the_penalty_looks_at_the_prompt_and_at_what_was_written(model_of):
    model, prompt = model_of(LAYOUT).eval(), [1, 2, 3]

    tokens = text(model, prompt, temperature=0.0, repetition_penalty=1.5)

    for at, token in enumerate(tokens):
        before = prompt + tokens[:at]
        logits_V = model(torch.tensor([before]))[0, -1]
        for seen in set(before):
            logits_V[seen] *= 1.5 if logits_V[seen] < 0 else 1 / 1.5
        assert token == int(logits_V.argmax())
    assert tokens != text(model, prompt, temperature=0.0)


def test_a_token_that_is_never_to_be_drawn_is_not():
    assert set(penalised(HALVES, seen=(), never=(1, 3))) == {0, 2, 4}
    assert set(penalised(HALVES, seen=(), never=(1,), temperature=0.0)) == {3}
    assert torch.isfinite(HALVES).all()


@pytest.mark.parametrize("penalty", [0.0, -1.0, math.nan, math.inf])
def test_a_penalty_that_makes_no_sense_is_refused(penalty):
    with pytest.raises(UsageError, match=r"repetition-penalty must be between 1e-6 and 1e6 \(1: none\), got"):
        Sampling(repetition_penalty=penalty)


def test_a_text_ends_before_its_end_token(model_of):
    model = model_of(LAYOUT)
    whole = text(model, length=40, seed=3)
    end = whole[7]

    tokens = list(generate(model, (1, 2, 3), 40, Sampling(), seed=3, end=end))

    assert tokens == whole[: whole.index(end)]


# ---- a decoder that goes on -------------------------------------------------------------------------------------


def test_a_decoder_that_reads_in_parts_writes_what_one_prompt_makes(model_of):
    model = model_of(LAYOUT).eval()
    first, second = Decoder(model), Decoder(model)

    first.read([1, 2, 3])
    written = list(first.write(4, greedy()))
    first.read([5, 6])
    second.read([1, 2, 3, *written, 5, 6])

    assert list(first.write(9, greedy())) == list(second.write(9, greedy()))


def test_an_end_is_not_read_unless_it_is_told(model_of):
    model = model_of(LAYOUT).eval()
    first, second = Decoder(model), Decoder(model)
    first.read([1, 2, 3])
    end = next(first.write(1, greedy()))
    second.read([1, 2, 3])

    assert list(second.write(9, greedy(), end=end)) == []
    second.read([end])
    assert list(first.write(9, greedy())) == list(second.write(9, greedy()))


def greedy() -> Drawer:
    return Drawer(Sampling(temperature=0.0), torch.Generator())
