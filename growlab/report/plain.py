"""Values as JSON can hold them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any


def plain(value: Any) -> Any:
    """Mappings, sequences and scalars in plain JSON types; NaN and infinities, which JSON has not, become None."""
    match value:
        case str():
            return str(value)  # of an enum its word
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): plain(each) for key, each in value.items()}
        case Sequence():
            return [plain(each) for each in value]
    return value
