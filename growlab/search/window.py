"""What a window of snapshots can carry: S snapshots give S - 1 increments, and centring leaves rank S - 2.

The first k modes span the dynamic subspace and the next ell point out of it, so k + ell <= S - 2
or a part of the seed's escape term stands for nothing.
"""

from collections.abc import Mapping
from typing import Any

from growlab.domains import Domain, Fixed


def centred_rank(window: int) -> int:
    return window - 2


def fit_to_window(values: Mapping[str, Any], domains: Mapping[str, Domain]) -> dict[str, Any]:
    """The growth section's `values` with k_subspace and ell_orth cut to what the window holds.

    Only what a sampler chose is cut: numbers that the study fixes stay as they were written.
    """
    fixed = {name for name, domain in domains.items() if isinstance(domain, Fixed)}
    k, ell = values["k_subspace"], values["ell_orth"]
    rank = centred_rank(values["history_window_size"])
    if not {"k_subspace", "history_window_size"} <= fixed:
        k = min(k, max(1, rank - 1))
    if not {"k_subspace", "history_window_size", "ell_orth"} <= fixed:
        ell = min(ell, max(1, rank - k))
    return {**values, "k_subspace": k, "ell_orth": ell}
