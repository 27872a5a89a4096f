"""Values as JSON can hold them."""

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any

from growlab.finite import finite

_PLAIN = frozenset({int, str, bool, NoneType})


def json_value(value: Any) -> Any:
    """The mapping, sequence or scalar in the types of JSON; NaN and infinities, which it has not, become None."""
    if type(value) in _PLAIN:  # most values of most reports; to ask a number whether it is a Mapping takes long
        return value
    match value:
        case str():
            return str(value)  # of an enum its word
        case float():
            return finite(value)
        case Mapping():
            return {str(key): json_value(item) for key, item in value.items()}
        case Sequence():
            return [json_value(item) for item in value]
    return value
