"""What a shell offers after the tab key: names of studies and of kinds. Fast, and silent where there are none."""

import contextlib
import os
from collections.abc import Iterable

import typer

from growlab.errors import GrowlabError


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def stored_studies(context: typer.Context, incomplete: str) -> list[str]:
    """List the studies of the database that the command line names so far, else of the usual one."""
    from growlab.defaults import STORAGE_DEFAULT
    from growlab.storage import Store

    storage = context.params.get("storage") or os.environ.get("GROWLAB_STORAGE") or STORAGE_DEFAULT
    with contextlib.suppress(GrowlabError, OSError), Store.open(storage) as store:
        return _beginning([summary.name for summary in store.studies()], incomplete)
    return []


def shipped(incomplete: str) -> list[str]:
    from growlab.resources import shipped_studies

    return _beginning(shipped_studies(), incomplete)


def any_study(context: typer.Context, incomplete: str) -> list[str]:
    return [*stored_studies(context, incomplete), *shipped(incomplete)]


def kinds(incomplete: str) -> list[str]:
    from growlab.catalogue import block_rows

    return _beginning((row["kind"] for row in block_rows([])), incomplete)
