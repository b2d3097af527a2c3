"""Which of the files that changed belong to what a candidate takes. Pure."""

import os.path
from collections.abc import Iterator

from changeover.supervisor.artifacts.folder import Listing
from changeover.supervisor.artifacts.layout import APP
from changeover.supervisor.artifacts.reach import Reach
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.core.outcome import CutoverRequest
from changeover.supervisor.telemetry.amounts import named
from changeover.workers.protocol.snapshot import Snapshot, UnitKind, UnitRef


def label(
    request: CutoverRequest,
    settings: Settings,
    listing: Listing,
    reach: Reach,
    current: Snapshot | None,
    made: Snapshot,
) -> str:
    """What a candidate is called: as whoever asked says, or by the changed files that are taken.

    Args:
        request: What was wished for.
        settings: Checked settings.
        listing: What lies in the folder of plugins.
        reach: What the request takes.
        current: What is served; None when nothing is.
        made: The candidate.
    """
    before, after = _contents(current), _contents(made)
    places = {found.path: plugin for plugin, found in listing.plugins.items()}

    def taken() -> Iterator[str]:
        for path, name in request.seen.items():
            ref = _unit(path, settings, places)
            if reach.configuration if ref is None else before.get(ref) != after.get(ref):
                yield name

    return named(list(taken()) or request.seen.values()) if request.seen else request.origin.label


def _contents(snapshot: Snapshot | None) -> dict[UnitRef, str]:
    return {} if snapshot is None else {unit.key.ref: unit.key.digest for unit in snapshot.units}


def _unit(path: str, settings: Settings, places: dict[str, str]) -> UnitRef | None:
    """Whose a file is; None where it is configuration. What is gone or broken is known by its name."""
    if settings.plugins.dir and path.startswith(f"{settings.plugins.dir}/"):
        first = path.removeprefix(f"{settings.plugins.dir}/").partition("/")[0]
        stem = os.path.splitext(first)[0]
        return UnitRef(UnitKind.PLUGIN, places.get(f"{settings.plugins.dir}/{first}", stem))
    app = settings.app
    if app is not None and path.startswith(f"{app.dir}/"):
        return UnitRef(UnitKind.APPLICATION, APP)
    return None
