"""New units that enter side by side, at one gap of the old ones."""

from growlab.recipes import Entry


def together(gap: int, n_units: int, n_new: int) -> list[Entry]:
    """Model the new units on the old ones right below the gap, in their order.

    Where there are fewer below than enter, from the lowest on upwards; past the top one from the lowest again.
    """
    first = max(0, gap - n_new)
    return [Entry(gap=gap, origin=(first + at) % n_units) for at in range(n_new)]
