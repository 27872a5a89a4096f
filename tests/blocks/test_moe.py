"""The mixture of experts against loops that are slow and plain, another implementation and closed forms.

Legend: B batch, T tokens, S = B·T, D width, N experts, K chosen.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from growlab.blocks import build_block
from growlab.blocks.moe import NUDGE, Routing
from growlab.errors import LayoutError
from growlab.kinds import KINDS
from growlab.layout import BlockSpec, parse, parse_blocks
from growlab.model.language_model import build_model
from growlab.training.engine import waits

SPARSE = [
    "moe",
    "moe[top_k=1]",
    "moe[n_experts=4,top_k=3]",
    "moe[renormalise=true]",
    "moe[balancing=bias]",
]
FORMS = ["sorted", "dense", "gathered"]
some_kinds = pytest.mark.parametrize("text", SPARSE)


def moe(text: str) -> BlockSpec:
    (spec,) = parse_blocks(text)
    return spec


def routing_of(p_SN: torch.Tensor, chosen_SK: torch.Tensor) -> Routing:
    return Routing(p_SN.log(), p_SN, chosen_SK, p_SN.gather(1, chosen_SK))


def expert(mixer, at: int, x_D: torch.Tensor) -> torch.Tensor:
    """SwiGLU, hidden unit by hidden unit."""
    in_ED, out_HD = mixer.experts.in_proj.weight[at], mixer.experts.out_proj.weight[at]
    value_H, gate_H = in_ED[: len(out_HD)] @ x_D, in_ED[len(out_HD) :] @ x_D
    return (value_H * gate_H / (1 + (-gate_H).exp())) @ out_HD


@torch.no_grad()
def token_by_token(mixer, x_TD: torch.Tensor) -> torch.Tensor:
    outputs, options = [], mixer.options
    for x_D in x_TD:
        logits = [float(row @ x_D) for row in mixer.router.weight]
        p = [math.exp(each) / sum(map(math.exp, logits)) for each in logits]
        liked = p if mixer.bias is None else [each + float(b) for each, b in zip(p, mixer.bias, strict=True)]
        chosen = sorted(range(len(p)), key=lambda at: -liked[at])[: options.top_k]
        over = sum(p[at] for at in chosen) if options.renormalise else 1
        outputs.append(sum(p[at] / over * expert(mixer, at, x_D) for at in chosen))
    return torch.stack(outputs)


def skew(mixer) -> None:
    """The first expert is liked by every token whose first number is large."""
    with torch.no_grad():
        mixer.router.weight[0, 0] += 3


# ---- what is computed -------------------------------------------------------------------------------------------


@some_kinds
def test_a_mixture_is_what_a_loop_over_tokens_gives(block_of, tokens, text):
    mixer, x_BTD = block_of(moe(text)).mixer, tokens(2, 9)
    if mixer.bias is not None:
        mixer.bias.data = torch.linspace(-0.1, 0.1, 8, dtype=torch.float64)

    y_BTD, expected_SD = mixer(x_BTD), token_by_token(mixer, x_BTD.flatten(0, 1))

    torch.testing.assert_close(y_BTD.flatten(0, 1), expected_SD, rtol=0, atol=1e-12)


@some_kinds
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_every_form_is_the_same_function_with_the_same_gradients(block_of, tokens, text, form, dtype, tolerance):
    mixer, g_SD = block_of(moe(text), dtype=dtype).mixer, tokens(1, 42, seed=1, dtype=dtype)[0]
    skew(mixer)
    given = [tokens(2, 21, dtype=dtype).requires_grad_(), mixer.router.weight, *mixer.experts.parameters()]

    def run(form: str) -> list[torch.Tensor]:
        y_SD = getattr(mixer.experts, form)(given[0].flatten(0, 1), mixer.route(given[0]))
        return [y_SD, *torch.autograd.grad((y_SD * g_SD).sum(), given)]

    for one, other in zip(run(form), run("sorted" if form == "dense" else "dense"), strict=True):
        assert (one - other).abs().max() <= tolerance * max(1, other.abs().max())


def test_experts_are_those_of_mixtral(block_of, tokens):
    from transformers import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

    mixer, x_BTD = block_of(moe("moe[renormalise=true]"), dtype=torch.float32).mixer, tokens(2, 70, dtype=torch.float32)
    _, hidden, width = mixer.experts.out_proj.weight.shape
    config = MixtralConfig(
        hidden_size=width, intermediate_size=hidden, num_local_experts=8, num_experts_per_tok=2, router_jitter_noise=0.0
    )
    config._experts_implementation = "eager"
    theirs = MixtralSparseMoeBlock(config).eval()
    value_NHD, gate_NHD = mixer.experts.in_proj.weight.chunk(2, dim=1)
    theirs.load_state_dict(
        {
            "gate.weight": mixer.router.weight,
            "experts.gate_up_proj": torch.cat((gate_NHD, value_NHD), dim=1),
            "experts.down_proj": mixer.experts.out_proj.weight.transpose(1, 2),
        }
    )

    y_BTD, z_BTD = mixer(x_BTD), theirs(x_BTD)

    assert (y_BTD - z_BTD).norm() <= 1e-6 * z_BTD.norm()
    for name, parameter in theirs.named_parameters():  # at this size a hundredth of any of them would be noticed
        parameter.data.mul_(1.01)
        assert (theirs(x_BTD) - y_BTD).norm() >= 1e-5 * y_BTD.norm(), name
        parameter.data.div_(1.01)


@pytest.mark.parametrize("text", ["moe[top_k=1]", "moe", "moe[renormalise=true]", "moe[n_experts=4,top_k=4]"])
def test_equal_experts_are_one_mlp_times_the_sum_of_the_weights(block_of, tokens, text):
    mixer, x_BTD = block_of(moe(text)).mixer, tokens(2, 21)
    mlp = block_of(moe("mlp[expand=1.3333333333333333]")).mixer
    mixer.experts.in_proj.weight.data[:] = mlp.in_proj.weight
    mixer.experts.out_proj.weight.data[:] = mlp.out_proj.weight.T

    y_BTD, weight_BT1 = mixer(x_BTD), mixer.route(x_BTD).weight.sum(1).view(2, 21, 1)

    torch.testing.assert_close(y_BTD, weight_BT1 * mlp(x_BTD), rtol=0, atol=1e-12)
    if text in ("moe[renormalise=true]", "moe[n_experts=4,top_k=4]"):
        torch.testing.assert_close(weight_BT1, torch.ones_like(weight_BT1), rtol=0, atol=1e-12)


@some_kinds
def test_the_order_of_tokens_and_their_company_change_nothing(block_of, tokens, text):
    mixer, x_BTD = block_of(moe(text)).mixer, tokens(1, 40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))

    y_BTD = mixer(x_BTD)

    torch.testing.assert_close(mixer(x_BTD[:, order]), y_BTD[:, order], rtol=0, atol=1e-12)
    torch.testing.assert_close(mixer(x_BTD[:, 7:8]), y_BTD[:, 7:8], rtol=0, atol=1e-12)


@some_kinds
def test_no_token_is_dropped_when_all_want_the_same_experts(block_of, tokens, text):
    mixer, x_BTD = block_of(moe(text)).mixer, tokens(2, 21)
    x_BTD[..., 0] = 5
    skew(mixer)

    routing, y_BTD = mixer.route(x_BTD), mixer(x_BTD)

    assert routing.counts[0] == 42
    torch.testing.assert_close(y_BTD.flatten(0, 1), token_by_token(mixer, x_BTD.flatten(0, 1)), rtol=0, atol=1e-12)


def test_one_token_costs_its_own_experts_when_they_are_gathered(block_of, tokens):
    mixer, x_BTD = block_of(moe("moe")).mixer, tokens(1, 1)
    routing, cost = mixer.route(x_BTD), KINDS["moe"].cost(32, mixer.options, 1)

    with FlopCounterMode(display=False) as counter:
        mixer.experts.gathered(x_BTD[0], routing)

    assert counter.get_total_flops() == cost.matmul_flops - 2 * mixer.router.weight.numel()


def test_two_experts_of_the_default_width_cost_what_an_mlp_does_and_all_are_counted(block_of):
    options, mlp = KINDS["moe"].options(), KINDS["mlp"].options()
    router = 384 * 8

    sparse, plain = KINDS["moe"].cost(384, options, 256), KINDS["mlp"].cost(384, mlp, 256)

    assert sparse.matmul_flops == plain.matmul_flops + 2 * 256 * router
    assert sparse.n_params == 4 * plain.n_params + router


@pytest.mark.parametrize("text", SPARSE)
def test_large_inputs_stay_finite_in_bf16(block_of, tokens, text):
    mixer = block_of(moe(text), dtype=torch.float32).mixer
    x_BTD = (100 * tokens(2, 21, dtype=torch.float32).sign()).requires_grad_()

    with torch.autocast("cpu", torch.bfloat16):
        y_BTD, penalty = mixer.forward_with_penalty(x_BTD)
    (y_BTD.float().sum() + penalty).backward()

    assert y_BTD.isfinite().all()
    assert x_BTD.grad.isfinite().all()
    assert all(each.grad.isfinite().all() for each in mixer.parameters())


def test_bf16_chooses_the_experts_that_fp32_chooses(block_of, tokens):
    mixer, x_BTD = block_of(moe("moe"), dtype=torch.float32).mixer, tokens(8, 500, dtype=torch.float32)

    with torch.autocast("cpu", torch.bfloat16):
        narrow = mixer.route(x_BTD)

    exact = mixer.route(x_BTD)
    assert narrow.p.dtype == torch.float32
    assert all(torch.equal(one, other) for one, other in zip(narrow, exact, strict=True))


# ---- what the router learns -------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["moe[top_k=1]", "moe", "moe[renormalise=true]"])
def test_the_router_learns_from_the_text_for_one_expert_per_token_too(block_of, tokens, text):
    block = block_of(moe(text), bold=False)

    (block(tokens(2, 21)) * tokens(2, 21, seed=1)).mean().backward()

    assert block.mixer.router.weight.grad.norm() > 1e-4


def test_each_expert_that_was_chosen_learns_and_no_other(block_of, tokens):
    mixer, x_BTD = block_of(moe("moe[top_k=1]")).mixer, tokens(1, 6)

    mixer(x_BTD).square().sum().backward()

    chosen_N = mixer.route(x_BTD).counts > 0
    assert not chosen_N.all()
    for parameter in mixer.experts.parameters():
        assert torch.equal(parameter.grad.flatten(1).any(1), chosen_N)


# ---- the load ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2])
@pytest.mark.parametrize("n_experts", [4, 8])
def test_the_imbalance_is_1_when_all_is_even_and_n_over_k_when_k_experts_have_everything(n_experts, k):
    even_SN = torch.full((40, n_experts), 1 / n_experts, dtype=torch.float64)
    in_turn_SK = torch.stack([(torch.arange(40) + at) % n_experts for at in range(k)], dim=1)
    always_SK = torch.arange(k).expand(40, k)
    one_hot_SN = torch.zeros_like(even_SN).scatter(1, always_SK, 1 / k)

    even, collapsed = routing_of(even_SN, in_turn_SK).imbalance(), routing_of(one_hot_SN, always_SK).imbalance()

    assert even.item() == pytest.approx(1, abs=1e-12)
    assert collapsed.item() == pytest.approx(n_experts / k, abs=1e-12)


def test_the_shares_of_two_choices_sum_to_1(block_of, tokens):
    assert block_of(moe("moe")).mixer.route(tokens(2, 21)).load.sum().item() == pytest.approx(1, abs=1e-12)


def test_the_balance_loss_takes_probability_from_an_expert_that_has_more_than_its_share(block_of, tokens):
    mixer, x_BTD = block_of(moe("moe[top_k=1]")).mixer, tokens(2, 200)
    skew(mixer)
    routing = mixer.route(x_BTD)
    assert routing.load[0] > 2 / 8

    (pull_SN,) = torch.autograd.grad(routing.imbalance(), routing.logits)

    assert (pull_SN[:, 0] > 0).all()  # so that a step downhill makes it less


@pytest.mark.parametrize("n_experts", [4, 8])
def test_the_z_loss_of_zero_logits_is_the_square_of_ln_n(block_of, tokens, n_experts):
    mixer = block_of(moe(f"moe[n_experts={n_experts},balance=0.0,z_loss=0.25]")).mixer
    mixer.router.weight.data.zero_()

    _, penalty = mixer.forward_with_penalty(tokens(2, 21))

    assert penalty.item() == pytest.approx(0.25 * math.log(n_experts) ** 2, rel=1e-12)


def test_the_penalty_has_each_term_once_at_its_price(block_of, tokens):
    mixer, x_BTD = block_of(moe("moe[balance=0.03,z_loss=0.007]")).mixer, tokens(2, 21)
    logits_SN = x_BTD.flatten(0, 1) @ mixer.router.weight.T
    p_SN = logits_SN.exp() / logits_SN.exp().sum(1, keepdim=True)
    f_N = torch.bincount(p_SN.topk(2).indices.flatten(), minlength=8).double() / 84
    expected = 0.03 * 8 * (f_N * p_SN.mean(0)).sum() + 0.007 * logits_SN.exp().sum(1).log().square().mean()

    _, penalty = mixer.forward_with_penalty(x_BTD)

    grads = [torch.autograd.grad(each, mixer.router.weight, retain_graph=True)[0] for each in (penalty, expected)]
    torch.testing.assert_close(penalty, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(*grads, rtol=1e-9, atol=1e-15)


def test_a_model_adds_the_penalties_of_its_blocks_once():
    """Of what a step minimises, the derivative with respect to an imbalance is the price that the layout says."""
    ids_BT = torch.randint(0, 50, (2, 24), generator=torch.Generator().manual_seed(0))
    totals = {}
    for price in (0.0, 0.5, 1.0):
        layout = parse(f"d=32 conv moe[balance={price}] moe[balance=0.0,top_k=1]")
        model = build_model(layout, vocab_size=50, max_depth=3, dropout=0.0, seed=0)
        loss, penalty = model.objective(ids_BT[:, :-1], ids_BT[:, 1:])
        totals[price] = (loss + penalty).item()
        x_BTD = model.embedding(ids_BT[:, :-1])
        conv, sparse, _ = model.blocks()
        imbalance = sparse.mixer.route(sparse.norm(conv(x_BTD))).imbalance().item()

    assert totals[1.0] - totals[0.0] == pytest.approx(imbalance, rel=1e-5)
    assert totals[0.5] - totals[0.0] == pytest.approx(imbalance / 2, rel=1e-5)


def test_what_is_measured_is_the_entropy_of_the_load_over_that_of_an_even_one(block_of, tokens):
    mixer, x_BTD = block_of(moe("moe[top_k=1,n_experts=4]")).mixer, tokens(1, 8)
    mixer.router.weight.data.zero_()
    mixer.router.weight.data[:, :4] = 9 * torch.eye(4)
    x_BTD[0, :, :4] = torch.eye(4, dtype=torch.float64)[[0, 0, 0, 0, 1, 1, 2, 3]]  # 1/2, 1/4, 1/8, 1/8

    measured = mixer.metrics(x_BTD)

    assert measured["largest_load"].item() == 0.5
    assert measured["load_entropy"].item() == pytest.approx(1.75 * math.log(2) / math.log(4), rel=1e-12)


def train_on_skewed_tokens(text: str, tokens, n_steps: int = 200) -> tuple[float, float]:
    """The entropy of the load before and after learning waves of the tokens, all of which lean to two experts."""
    torch.manual_seed(0)
    block = build_block(moe(text), 32, max_depth=1, dropout=0.0)
    x_BTD = tokens(8, 32, dtype=torch.float32) + 0.5
    wanted_BTD = (x_BTD @ tokens(1, 32, seed=1, dtype=torch.float32)[0] / 4).sin()
    with torch.no_grad():
        block.mixer.router.weight[:2] += 0.1
    optimizer = torch.optim.AdamW(block.parameters(), lr=3e-3)

    def entropy() -> float:
        return block.mixer.metrics(block.norm(x_BTD))["load_entropy"].item()

    before = entropy()
    for _ in range(n_steps):
        y_BTD, penalty = block.forward_with_penalty(x_BTD)
        (F.mse_loss(y_BTD - x_BTD, wanted_BTD) + penalty).backward()
        torch.nn.utils.clip_grad_norm_(block.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return before, entropy()


@pytest.mark.parametrize("text", ["moe", "moe[balance=0.1,top_k=1]", "moe[balancing=bias]"])
def test_a_skewed_load_becomes_even_in_training(tokens, text):
    before, after = train_on_skewed_tokens(text, tokens)

    assert before < 0.75
    assert after >= 0.9


@pytest.mark.parametrize("text", ["moe[balance=0.0]", "moe[balance=0.0,top_k=1]"])
def test_without_balancing_it_stays_skewed(tokens, text):
    assert train_on_skewed_tokens(text, tokens)[1] < 0.6


# ---- balancing without a loss -----------------------------------------------------------------------------------

BIASED = "moe[balancing=bias,z_loss=0.0]"


def test_a_bias_is_told_its_load_and_nothing_else_is(block_of, tokens):
    mixer, x_BTD = block_of(moe(BIASED)).mixer, tokens(2, 21).requires_grad_()
    mixer.bias.data = torch.linspace(-0.1, 0.1, 8, dtype=torch.float64)
    given = {"x": x_BTD, **dict(mixer.named_parameters())}
    others = [name for name in given if name != "bias"]

    y_BTD, penalty = mixer.forward_with_penalty(x_BTD)
    alone = torch.autograd.grad(y_BTD.square().sum(), [given[name] for name in others], retain_graph=True)
    (y_BTD.square().sum() + penalty).backward()

    assert penalty.item() == 0
    for name, expected in zip(others, alone, strict=True):
        assert torch.equal(given[name].grad, expected), name
    expected_N = NUDGE * (mixer.route(x_BTD).load - 1 / 8)
    torch.testing.assert_close(mixer.bias.grad, expected_N, rtol=1e-12, atol=0)


def test_a_bias_moves_the_choice_and_not_the_weight(block_of, tokens):
    mixer, x_BTD = block_of(moe(BIASED)).mixer, tokens(2, 21)
    mixer.bias.data[5] = 2

    routing = mixer.route(x_BTD)

    assert (routing.chosen[:, 0] == 5).all()
    assert torch.equal(routing.weight, routing.p.gather(1, routing.chosen))


def test_a_bias_goes_by_the_learning_rate_against_its_load(block_of, tokens):
    mixer, x_BTD = block_of(moe(BIASED), dtype=torch.float32).mixer, tokens(2, 21, dtype=torch.float32)
    load_N = mixer.route(x_BTD).load

    mixer.forward_with_penalty(x_BTD)[1].backward()
    torch.optim.AdamW([mixer.bias], lr=0.01, weight_decay=0.0).step()

    torch.testing.assert_close(mixer.bias, -0.01 * (load_N - 1 / 8).sign(), rtol=1e-2, atol=0)


def test_a_bias_is_neither_decayed_nor_extrapolated(block_of):
    bias = block_of(moe(BIASED)).mixer.bias

    assert bias.no_decay
    assert bias.copied_at_growth


# ---- options ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("moe[n_experts=1]", r"moe\[n_experts=1\] must be between 2 and 256; one expert is an mlp"),
        ("moe[n_experts=4,top_k=5]", r"moe\[top_k=5\] must be between 1 and n_experts=4"),
        ("moe[top_k=0]", r"moe\[top_k=0\] must be between 1 and n_experts=8"),
        ("moe[expand=0.0]", r"moe\[expand=0.0\] must be greater than 0 and at most 64"),
        ("moe[balance=-0.1]", r"moe\[balance=-0.1\] must be between 0 and 100"),
        ("moe[z_loss=101.0]", r"moe\[z_loss=101.0\] must be between 0 and 100"),
        ("moe[balancing=luck]", r"moe\[balancing=luck\] must be loss or bias"),
        ("moe[top_k=1,renormalise=true]", r"weigh every expert by 1, so that the router learns nothing from the text"),
    ],
)
def test_options_that_make_no_sense_are_refused(text, message):
    with pytest.raises(LayoutError, match=message):
        KINDS["moe"].read_options(moe(text), 32)


# ---- on a GPU ---------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@some_kinds
@pytest.mark.parametrize("leaning", [0, 3, 50])
def test_the_kernel_of_groups_is_the_dense_form_with_the_same_gradients(block_of, tokens, text, leaning):
    """Also where experts have no token at all, whose gradients must be 0 and not what lay in the memory."""
    mixer = block_of(moe(text), dtype=torch.float32).mixer.cuda()
    x_BTD = tokens(4, 64, dtype=torch.float32).cuda()
    x_BTD[..., 0] = leaning
    skew(mixer)
    given = [x_BTD.requires_grad_(), mixer.router.weight, *mixer.experts.parameters()]
    assert mixer.experts.can_group(x_BTD) is False

    def run(form: str) -> list[torch.Tensor]:
        with torch.autocast("cuda", torch.bfloat16):
            assert mixer.experts.can_group(x_BTD)
            y_SD = getattr(mixer.experts, form)(x_BTD.flatten(0, 1), mixer.route(x_BTD))
        return [y_SD, *torch.autograd.grad(y_SD.float().square().sum(), given)]

    for one, other in zip(run("grouped"), run("dense"), strict=True):
        assert one.isfinite().all()
        assert (one - other).norm() <= 0.02 * other.norm()


@pytest.mark.gpu
@some_kinds
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("n_tokens", [1, 64])
def test_no_form_waits_for_the_gpu(block_of, tokens, text, precision, n_tokens):
    block = block_of(moe(text), dtype=torch.float32).cuda()
    x_BTD = tokens(1, n_tokens, dtype=torch.float32).cuda()

    def step() -> None:
        with torch.autocast("cuda", precision, enabled=precision == torch.bfloat16):
            y_BTD, penalty = block.forward_with_penalty(x_BTD)
        (y_BTD.square().sum() + penalty).backward()

    step()  # loads kernels
    assert not waits(step)


@pytest.mark.gpu
@some_kinds
def test_a_gpu_gives_in_fp32_what_a_cpu_gives(block_of, tokens, text):
    block, x_BTD = block_of(moe(text), dtype=torch.float32), tokens(2, 21, dtype=torch.float32)

    many_BTD, one_BTD = block(x_BTD), block(x_BTD[:1, :1])
    block.cuda()

    torch.testing.assert_close(block(x_BTD.cuda()).cpu(), many_BTD, rtol=0, atol=1e-5)
    torch.testing.assert_close(block(x_BTD[:1, :1].cuda()).cpu(), one_BTD, rtol=0, atol=1e-5)
