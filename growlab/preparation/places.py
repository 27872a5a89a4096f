"""Folders that follow from where the database is."""

from pathlib import Path

ARTIFACTS = "growlab-artifacts"  # the folder of checkpoints and models, where nobody names one


def artifact_root(storage: str, given: Path | None) -> Path:
    """The folder of checkpoints and models: the given one, else growlab-artifacts beside the database's file.

    Of a database on a server it is below the folder in which we are. Raises StorageError for a URL that is none.
    """
    from growlab.files import resolved
    from growlab.storage.address import read_address

    if given is not None:
        return resolved(given)
    database = read_address(storage).path
    return (database.parent if database else Path.cwd()) / ARTIFACTS


def folders_near(storage: str) -> list[Path]:
    """List folders near which a study's texts may lie: the database's, and the one we are in."""
    from growlab.files import resolved
    from growlab.storage.address import read_address

    database = read_address(storage).path
    return [*([resolved(database).parent] if database else []), Path.cwd()]
