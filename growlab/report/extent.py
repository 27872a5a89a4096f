"""How large a study's space is, for a person or a program."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

from growlab import amounts
from growlab.report.terminal import Trimmed, as_it_is, console_for
from growlab.report.terminal_table import TableColumn, table_of

if TYPE_CHECKING:
    from growlab.search.extent import Extent, Size


def extent_as_mapping(extent: "Extent") -> dict[str, Any]:
    """The extent in plain types; numbers of layouts in full."""
    share, low, high = extent.share
    return {
        "study": extent.study,
        "n_layouts": sum(extent.n_layouts.values()),
        "n_layouts_by_depth": {str(depth): n for depth, n in extent.n_layouts.items()},
        "scalars": dict(extent.scalars),
        "n_draws": extent.n_draws,
        "n_within": extent.n_within,
        "share": share,
        "share_low": low,
        "share_high": high,
        "exceeded": dict(extent.exceeded),
        "sizes": [asdict(size) for size in extent.sizes],
        "start_with_beyond": [
            {"at": at, "key": excess.key, "limit": excess.limit, "amount": excess.amount, "unit": excess.unit}
            for at, excess in extent.starts_beyond.items()
        ],
    }


def print_extent(extent: "Extent", stream: TextIO) -> None:
    """Print it for a person."""
    console = console_for(stream)
    console.print(as_it_is(f"{extent.study}: {_count(sum(extent.n_layouts.values()))} layouts", "bold"))
    for line in _lines(extent):
        console.print(as_it_is(line))
    for at, excess in extent.starts_beyond.items():
        console.print(as_it_is(f"layouts.start_with[{at}] {excess}"))
    if extent.starts_beyond:
        console.print(as_it_is("  so growlab study create refuses the study; change the limit, or leave them out"))
    if extent.sizes:
        console.print()
        console.print(as_it_is(f"sizes of the {extent.n_within} of {extent.n_draws} random draws that remain", "bold"))
        console.print(Trimmed(table_of(extent.sizes, _columns())))


def _lines(extent: "Extent") -> Iterator[str]:
    for depth, n in extent.n_layouts.items():
        yield f"  {_count(n):>8} of {depth} block{'s' if depth > 1 else ''}"
    yield "searched scalars" if extent.scalars else "no scalar is searched"
    for name, drawn in extent.scalars.items():
        yield f"  {name}: {drawn}"
    share, low, high = extent.share
    if not extent.exceeded:
        yield f"limits leave all of {extent.n_draws} random draws (at least {amounts.share(low)}, 95% interval)"
        return
    interval = f"95% interval {amounts.share(low)} to {amounts.share(high)}"
    yield f"limits leave {amounts.share(share)} of {extent.n_draws} random draws ({interval})"
    for key, n in extent.exceeded.items():
        yield f"  {n} of {extent.n_draws} exceed {key}"


def _count(n: int) -> str:
    """A number of any size: '96', '1.2e+15'."""
    return f"{n:,}" if n < 10**6 else f"{float(n):.3g}" if n < 10**300 else f"10^{len(str(n)) - 1}"


def _columns() -> "tuple[TableColumn[Size], ...]":
    return (
        TableColumn("", lambda size: size.name, "left"),
        TableColumn("smallest", lambda size: amounts.count(size.smallest)),
        TableColumn("median", lambda size: amounts.count(size.median)),
        TableColumn("largest", lambda size: amounts.count(size.largest)),
        TableColumn("in", lambda size: size.unit, "left"),
    )
