"""Which plugins ask for what the configuration does not grant them."""

from collections.abc import Iterable, Iterator

from changeover.supervisor.artifacts.folder import Found
from changeover.supervisor.artifacts.problems import Problem
from changeover.supervisor.config.settings import Settings
from changeover.workers.plugins import capabilities
from changeover.workers.protocol.refusal import Fault


def grant_of(plugin: str, settings: Settings) -> tuple[str, ...]:
    """What the configuration grants a plugin."""
    entry = settings.plugins.entries.get(plugin)
    return entry.grant if entry else ()


def ungranted(taken: Iterable[Found], settings: Settings) -> Iterator[Problem]:
    """Say of everything that is to be taken from disk what it asks for and may not have.

    Args:
        taken: What lies in the folder of plugins.
        settings: Checked settings.
    """
    for found in taken:
        manifest = found.manifest
        grant = grant_of(manifest.id, settings)
        if lacks := capabilities.lacking(manifest.capabilities, grant):
            reason = capabilities.refusal(lacks, grant, f"[plugins.{manifest.id}]")
            yield Problem(
                f"{manifest.id} {manifest.version} {reason}",
                found.file,
                "$.capabilities",
                Fault.CAPABILITY,
                manifest.id,
            )
