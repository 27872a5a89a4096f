"""Values as JSON can hold them."""

from collections.abc import Mapping, Sequence
from typing import Any

from growlab.finite import finite


def json_value(value: Any) -> Any:
    """The mapping, sequence or scalar in the types of JSON; NaN and infinities, which it has not, become None."""
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
