"""What a start would serve, found out without starting or storing anything."""

import os
from pathlib import Path

import msgspec

from changeover.supervisor.artifacts.scanner import Scanner
from changeover.supervisor.config.check import Checked
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.outcome import Candidate, CutoverRequest, ScanRefused
from changeover.supervisor.telemetry.amounts import IGNORED, UNUSED
from changeover.workers.plugins.artifact import UnreadableArtifact
from changeover.workers.protocol.snapshot import EMPTY, Snapshot

NOTES = (IGNORED, UNUSED)
"""How the lines begin that say what has no effect."""


class Rehearsal(msgspec.Struct, frozen=True):
    """What checking plugins and pipelines gives.

    Attributes:
        candidate: What would serve; `EMPTY` when nothing can.
        errors: Everything that keeps it from being served.
        warnings: What is there and has no effect.
    """

    candidate: Snapshot = EMPTY
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def rehearse(settings: Settings, file: str = "") -> Rehearsal:
    """Scan plugins and pipelines as a start would. Blocks on the disk.

    Args:
        settings: Checked settings.
        file: Where they are written, for messages; empty when in no file.
    """
    try:
        scanner = Scanner(settings, lambda: Checked(settings, file=file), Path(os.devnull))
    except UnreadableArtifact as error:
        return Rehearsal(errors=(str(error),))
    result = scanner.scan(CutoverRequest(Origin(Trigger.COMMAND), dry_run=True), 1, None)
    if isinstance(result, ScanRefused):
        return Rehearsal(errors=tuple(each.refusal.summary for each in result.refusals))
    if isinstance(result, Candidate):
        return Rehearsal(result.snapshot, warnings=tuple(line for line in result.summary if line.startswith(NOTES)))
    return Rehearsal()
