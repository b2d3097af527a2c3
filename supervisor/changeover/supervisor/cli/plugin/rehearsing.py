"""Has a plugin rehearsed as a reload would have it: confined, in a process of its own, with no server."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from changeover.supervisor.artifacts.candidate import assemble, snapshot
from changeover.supervisor.artifacts.content import Content
from changeover.supervisor.artifacts.folder import Found
from changeover.supervisor.artifacts.layout import lay_out
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.core.effects import Preflight
from changeover.supervisor.plans import rehearsal_order
from changeover.workers.plugins import artifact
from changeover.workers.preflight import alone
from changeover.workers.protocol.rehearsal import RehearsalReport
from changeover.workers.protocol.snapshot import Snapshot


def rehearse(plugins: Mapping[str, Found], contents: Mapping[str, Content], settings: Settings) -> RehearsalReport:
    """Rehearse plugins, with their services where they propose to be mounted.

    Args:
        plugins: One, and all that it requires.
        contents: The same, as they enter a candidate.
        settings: How a rehearsal is confined.

    Raises:
        NotRehearsed: There is no report.
    """
    with tempfile.TemporaryDirectory(prefix="changeover-") as folder:
        store = Path(folder)
        for plugin in plugins.values():
            artifact.put(store, plugin.files)
        try:
            effect = Preflight(_candidate(contents), None, 0)
            return alone.rehearse(rehearsal_order(settings, store, effect, ()))
        finally:
            for stored in store.iterdir():
                artifact.remove(store, stored.name)


def _candidate(contents: Mapping[str, Content]) -> Snapshot:
    plans = lay_out(Settings(), contents).plans
    routes = [route for plan in plans for route in plan.routes]
    return snapshot(assemble(contents, None, plans, 1), routes, 1, None)
