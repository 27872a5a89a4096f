"""Vega, Vega-Lite and Vega-Embed as one script, for a page that needs no network."""

from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from growlab.errors import UsageError
from growlab.files import write_atomically
from growlab.packages import install_command
from growlab.resources import cache_dir


def drawing_script() -> str:
    """The script, bundled by vl-convert, which takes seconds, and kept in the cache under that one's version.

    Raises UsageError, with the command that installs it, where vl-convert is missing.
    """
    try:
        import vl_convert
    except ImportError:
        raise UsageError(
            f"an HTML report needs the package vl-convert-python; run: {install_command('vl-convert-python')}"
        ) from None
    kept = _place(version("vl-convert-python"))
    if kept and kept.is_file():
        return kept.read_text(encoding="utf-8")
    script: str = vl_convert.javascript_bundle().replace("</script", "<\\/script")  # type: ignore[call-arg]  # its stub lacks the default
    if kept:
        with suppress(OSError):  # nowhere to keep it: it is made again
            write_atomically(kept, script.encode())
    return script


def _place(release: str) -> Path | None:
    """Where the script is kept; None of a user without a home."""
    try:
        return cache_dir() / f"vega-{release}.js"
    except UsageError:
        return None
