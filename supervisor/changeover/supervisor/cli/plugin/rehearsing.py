"""Has a plugin rehearsed as a reload would have it: confined, in a process of its own, with no server."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from changeover.supervisor.artifacts.candidate import assemble, snapshot
from changeover.supervisor.artifacts.content import Content
from changeover.supervisor.artifacts.folder import Found
from changeover.supervisor.artifacts.layout import lay_out
from changeover.supervisor.cli.plugin.trying import NotTried
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.core.effects import Preflight
from changeover.supervisor.plans import rehearsal_order
from changeover.workers.plugins import artifact
from changeover.workers.protocol.codec import MalformedFrame
from changeover.workers.protocol.rehearsal import RehearsalOrder, RehearsalReport, decode_report, encode
from changeover.workers.protocol.snapshot import Snapshot

PROGRAM = "changeover.workers.preflight"
"""The module that rehearses: an order on its standard input, a report on its standard output."""
LATE = 5.0
"""Seconds past its deadline that it has to say where the plugin stood still."""


def rehearse(plugins: Mapping[str, Found], contents: Mapping[str, Content], settings: Settings) -> RehearsalReport:
    """Rehearse plugins, with their services where they propose to be mounted.

    Args:
        plugins: One, and all that it requires.
        contents: The same, as they enter a candidate.
        settings: How a rehearsal is confined.

    Raises:
        NotTried: There is no report.
    """
    with tempfile.TemporaryDirectory(prefix="changeover-") as folder:
        store = Path(folder)
        for plugin in plugins.values():
            artifact.put(store, plugin.files)
        try:
            effect = Preflight(_candidate(contents), None, 0)
            return _reported(rehearsal_order(settings, store, effect, ()))
        finally:
            for stored in store.iterdir():
                artifact.remove(store, stored.name)


def _candidate(contents: Mapping[str, Content]) -> Snapshot:
    plans = lay_out(Settings(), contents).plans
    routes = [route for plan in plans for route in plan.routes]
    return snapshot(assemble(contents, None, plans, 1), routes, 1, None)


def _reported(order: RehearsalOrder) -> RehearsalReport:
    seconds = order.settings.deadline + LATE
    command = (sys.executable, "-P", "-m", PROGRAM)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True) as process:
        try:
            written, said = process.communicate(encode(order), timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise NotTried(f"its preflight did not end within {seconds:g} s", "") from None
    if not written:
        raise NotTried(f"its preflight ended with status {process.returncode}", said.decode(errors="replace"))
    try:
        return decode_report(written)
    except MalformedFrame as error:
        raise NotTried(f"its preflight reported what cannot be read: {error}", "") from error
