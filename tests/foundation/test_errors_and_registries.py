"""The error tree, its exit codes and suggestions; registries that know what they hold."""

import inspect
import re

import pytest

from growlab import errors
from growlab.errors import GrowlabError, NotRegistered, UnknownName, UsageError, did_you_mean
from growlab.registry import Registry


def every_error():
    return [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, GrowlabError)]


def test_the_drawn_tree_is_the_real_one():
    drawn, path = {}, ["Exception"]
    for line in inspect.getdoc(errors).splitlines():
        if match := re.match(r"    [ │├└─]*(?=[A-Z])", line):
            name = line[match.end() :].split()[0]
            del path[len(match[0]) // 4 :]
            drawn[name] = path[-1]
            path.append(name)

    assert drawn == {each.__name__: each.__base__.__name__ for each in every_error()}


def test_the_user_s_slips_exit_with_2_and_the_world_s_with_1():
    assert {each.exit_code for each in every_error() if issubclass(each, UsageError)} == {2}
    assert {each.exit_code for each in every_error() if not issubclass(each, UsageError)} == {1}


def test_an_unknown_name_lists_the_known_ones_and_suggests_the_closest():
    error = UnknownName("block kind", "atention", ["mlp", "attn", "attention"])

    assert str(error) == "unknown block kind 'atention'; known: attention, attn, mlp. Did you mean 'attention'?"


def test_what_a_plugin_may_register_is_asked_for():
    error = NotRegistered("block kind", "shift", ["mlp", "attn"])

    assert (
        str(error) == "unknown block kind 'shift'; known: attn, mlp. Or give the file that registers it: --plugin FILE"
    )


def test_nothing_is_suggested_where_nothing_is_close():
    assert did_you_mean("zebra", ["attn", "mlp"]) == ""


@pytest.fixture
def colours():
    table: Registry[int] = Registry("colour")
    table.add("red", 1)
    return table


def test_a_registry_is_a_mapping_in_the_order_of_names(colours):
    colours.register("blue")(2)

    assert list(colours) == ["blue", "red"]
    assert dict(colours) == {"blue": 2, "red": 1}
    assert "red" in colours
    assert "green" not in colours
    assert len(colours) == 2


def test_the_decorator_gives_back_what_it_registers(colours):
    @colours.register("green")
    def green():
        return 3

    assert colours["green"] is green
    assert green() == 3


def test_a_missing_name_is_a_clear_error(colours):
    with pytest.raises(NotRegistered, match=r"unknown colour 'rde'; known: red\. Did you mean 'red'\?"):
        colours["rde"]


def test_a_name_cannot_be_taken_twice(colours):
    with pytest.raises(ValueError, match="colour 'red' is registered twice"):
        colours.add("red", 2)


def test_a_registry_can_be_as_it_was(colours):
    before = dict(colours)
    colours.add("blue", 2)

    colours.reset(before)
    colours.add("green", 3)

    assert dict(colours) == {"green": 3, "red": 1}
    assert before == {"red": 1}
