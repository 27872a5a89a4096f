"""The mean of weights is uniform, in fp32 at least, begins anew with another model, and takes no bit of the weights."""

import pytest
import torch
from torch import nn

from growlab.training.averaging import WeightAverage

CPU = torch.device("cpu")


def named(**values: list[float]) -> list[tuple[str, nn.Parameter]]:
    return [(name, nn.Parameter(torch.tensor(value))) for name, value in values.items()]


def test_it_is_the_mean_of_all_weights_that_were_added() -> None:
    average = WeightAverage()

    for weight in (1.0, 2.0, 6.0):
        average.add(named(a=[weight, -weight], b=[0.5]))

    assert average.n == 3
    assert {name: mean.tolist() for name, mean in average.means.items()} == {"a": [3.0, -3.0], "b": [0.5]}


def test_it_begins_anew_with_the_weights_of_a_model_that_has_grown() -> None:
    average = WeightAverage()
    average.add(named(a=[1.0]))

    average.add(named(a=[3.0], b=[7.0]))

    assert average.n == 1
    assert {name: mean.tolist() for name, mean in average.means.items()} == {"a": [3.0], "b": [7.0]}


def test_what_was_added_once_is_those_bits_and_no_reference_to_them() -> None:
    average, parameters = WeightAverage(), named(a=[0.1])
    average.add(parameters)

    with torch.no_grad():
        parameters[0][1].fill_(5.0)

    assert average.means["a"].tolist() == [pytest.approx(0.1)]


def test_weights_of_bf16_are_averaged_in_fp32() -> None:
    average = WeightAverage()
    for weight in (1.0, 1.0, 1.0078125):
        average.add([("a", nn.Parameter(torch.tensor([weight], dtype=torch.bfloat16)))])

    assert average.means["a"].dtype == torch.float32
    assert average.means["a"].item() == pytest.approx(1 + 0.0078125 / 3)


def test_within_the_weights_are_the_means_in_place_and_afterwards_their_own_bits_whatever_happens() -> None:
    average, parameters = WeightAverage(), named(a=[1.0, 2.0])
    average.add(parameters)
    [(_, parameter)] = parameters
    with torch.no_grad():
        parameter.copy_(torch.tensor([0.1, 1 / 3]))
    own, place, seen = parameter.detach().clone(), parameter.data_ptr(), []

    def fails() -> None:
        with average.in_place_of(parameters):
            seen.append((parameter.tolist(), parameter.data_ptr()))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()

    assert seen == [([1.0, 2.0], place)]
    assert torch.equal(parameter.detach(), own)
    assert parameter.data_ptr() == place


def test_it_goes_on_from_what_was_saved_of_it() -> None:
    average, later = WeightAverage(), WeightAverage()
    for weight in (0.1, 0.7):
        average.add(named(a=[weight]))
    later.load(average.n, average.means, CPU)

    for one in (average, later):
        one.add(named(a=[0.3]))

    assert torch.equal(average.means["a"], later.means["a"])
    assert average.means["a"].data_ptr() != later.means["a"].data_ptr()


def test_it_can_be_forgotten() -> None:
    average = WeightAverage()
    average.add(named(a=[1.0]))

    average.forget()

    assert (average.n, average.means) == (0, {})
