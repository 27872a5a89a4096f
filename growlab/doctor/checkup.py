"""All checks, one after the other."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from growlab.doctor.data import check_stdlib, check_study, check_tiny_shakespeare
from growlab.doctor.devices import check_devices
from growlab.doctor.findings import Finding, guarded
from growlab.doctor.folders import check_artifacts, check_cache
from growlab.doctor.storage import check_storage
from growlab.doctor.versions import check_plugins, check_versions
from growlab.preparation.telling import Tell


def check_up(
    storage: str, artifacts: Path | None, study: str, plugins: Sequence[Path], tell: Tell
) -> Iterator[Finding]:
    """Yield findings as soon as they are known: some checks wait for a server. Without a `study` none is loaded."""
    yield from guarded("versions", "packages", check_versions())
    yield from guarded("versions", "plugins", check_plugins(plugins))
    yield from guarded("devices", "devices", check_devices())
    yield from guarded("storage", "database", check_storage(storage))
    yield from guarded("folders", "artifacts", check_artifacts(storage, artifacts))
    yield from guarded("folders", "cache", check_cache())
    yield from guarded("data", "stdlib", check_stdlib())
    yield from guarded("data", "tiny-shakespeare", check_tiny_shakespeare())
    if study:
        yield from guarded("study", "corpus", check_study(study, storage, tell))
