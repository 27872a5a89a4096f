"""The gradient of an embedding as a product is the one that torch sorts for."""

import pytest
import torch
import torch.nn.functional as F

from growlab.model.embedding import LookUp, embed


@pytest.mark.parametrize("shape", [(3, 40), (120,)])
def test_a_product_gives_each_token_the_sum_of_its_gradients(shape: tuple[int, ...]) -> None:
    random = torch.Generator().manual_seed(0)
    weight_VD = torch.randn(7, 5, generator=random, dtype=torch.float64, requires_grad=True)
    ids_BT = torch.randint(6, shape, generator=random)  # the last token is nowhere
    weights_BTD = torch.randn(*shape, 5, generator=random, dtype=torch.float64)
    (expected,) = torch.autograd.grad((F.embedding(ids_BT, weight_VD) * weights_BTD).sum(), weight_VD)

    rows_BTD = LookUp.apply(ids_BT, weight_VD)
    (found,) = torch.autograd.grad((rows_BTD * weights_BTD).sum(), weight_VD)

    assert torch.equal(rows_BTD, F.embedding(ids_BT, weight_VD))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
    assert not found[6].any()


@pytest.mark.gpu
@pytest.mark.parametrize("n_ids", [100, 5000])
def test_on_a_gpu_few_ids_and_many_have_the_gradient_that_they_have_on_a_cpu(n_ids: int) -> None:
    random = torch.Generator().manual_seed(0)
    weight_VD, ids_S = torch.randn(65, 32, generator=random), torch.randint(65, (n_ids,), generator=random)
    weights_SD = torch.randn(n_ids, 32, generator=random)

    def gradient(device: str) -> torch.Tensor:
        weight = weight_VD.to(device).requires_grad_()
        return torch.autograd.grad((embed(ids_S.to(device), weight) * weights_SD.to(device)).sum(), weight)[0].cpu()

    torch.testing.assert_close(gradient("cuda"), gradient("cpu"), rtol=1e-4, atol=1e-4)
