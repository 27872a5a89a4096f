"""Each unit followed by its copies; fewer new units than old ones are spread evenly, from the output side.

Source: Gong et al. 2019, "Efficient Training of BERT by Progressively Stacking", calls the other way stacking; this is
interposing.
"""

from growlab.named import Options
from growlab.recipes import Entry, register_position


@register_position("interleaved", "each unit followed by its copy")
def interleaved(n_units: int, n_new: int, options: Options) -> list[Entry]:
    origins = [n_units - 1 - at * n_units // n_new for at in range(n_new)]
    return [Entry(gap=origin + 1, origin=origin) for origin in reversed(origins)]
