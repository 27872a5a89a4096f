"""Amounts as people read them; '–' for what is not known."""

import math
from datetime import UTC, datetime
from fractions import Fraction

UNKNOWN = "–"

_COUNTS = ("", "k", "M", "B", "T")
_SI = ("", "k", "M", "G", "T", "P", "E", "Z")


def count(n: float | None) -> str:
    """Format parameters and tokens to three digits: '950', '1.23M', '12.3B'."""
    return UNKNOWN if n is None else "".join(_scaled(n, _COUNTS))


def flops(n: float | None) -> str:
    """Format floating-point operations to three digits: '4.50 TFLOPs'."""
    if n is None:
        return UNKNOWN
    number, prefix = _scaled(n, _SI)
    return f"{number} {prefix}FLOPs"


def gib(n_bytes: float) -> str:
    """Format bytes as '12.3 GiB'."""
    return f"{n_bytes / 2**30:,.1f} GiB"


def mib(n_bytes: float) -> str:
    """Bytes as '12.3 MiB'."""
    return f"{n_bytes / 2**20:,.1f} MiB"


def duration(seconds: float | None) -> str:
    """Format seconds that were measured: '3 h 05 min', '1 min 20 s', '20 s', '8.1 s', '40 ms'."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 9.95 else _whole_seconds(seconds)


def time_left(seconds: float) -> str:
    """Format seconds that are guessed, so in whole ones: '3 h 05 min', '2 min 10 s', '8 s'; '–' from thirty years."""
    return _whole_seconds(seconds) if seconds < 1e9 else UNKNOWN


def fraction(share: float) -> str:
    """Format a share that stands for a simple fraction as that, '1/3'; others as '37%'."""
    simple = Fraction(share).limit_denominator(100)
    return str(simple) if abs(float(simple) - share) < 1e-6 else f"{share:.0%}"


def whole(n: int | None) -> str:
    """Format a whole number with all its digits."""
    return UNKNOWN if n is None else str(n)


def number(value: float | None, digits: int) -> str:
    """Format a number with so many decimals: '1.4697', '∞'."""
    if value is None or math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.{digits}f}"


def measured(value: float | None) -> str:
    """Format a number of any size and unit to three or four digits: '0.9961', '12.3M'."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return count(value) if abs(value) >= 1000 else f"{value:.4g}"


def loss(value: float | None) -> str:
    """Format a loss to four decimals: '1.4697'."""
    return number(value, 4)


def share(value: float | None) -> str:
    """Format a share of 1 in per cent: '99.6%'."""
    return UNKNOWN if value is None else f"{100 * value:.1f}%"


def moment(at: float | None) -> str:
    """Format seconds since 1970 as '2026-11-03 12:01:44', in UTC."""
    return UNKNOWN if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def depth(start: int, end: int | None) -> str:
    """Format blocks at the start and at the end: '2 → 6' of a trial that grew, else '2'."""
    return f"{start} → {end}" if end not in (None, start) else str(start)


def _whole_seconds(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _scaled(n: float, prefixes: tuple[str, ...]) -> tuple[str, str]:
    """Scale a number to three digits and a prefix; 999 600 is '1.00' and 'M', not '1000' and 'k'."""
    power = 0
    while abs(n) >= 999.5 and power < len(prefixes) - 1:
        n, power = n / 1000, power + 1
    return f"{n:#.3g}".rstrip(".") if power else f"{n:.3g}", prefixes[power]
