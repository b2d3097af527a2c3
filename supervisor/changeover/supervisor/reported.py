"""What the report of a rehearsal says, made fit to be shown. Pure."""

import msgspec

from changeover.workers.protocol.refusal import Refusal, Stage
from changeover.workers.protocol.rehearsal import RehearsalReport

_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""What moves cursors and changes colours on the terminal of whoever reads it."""


def refusal_in(report: RehearsalReport) -> Refusal | None:
    """The "no" with the end of what was written; None when there is none."""
    if report.refusal is None:
        return None
    return msgspec.structs.replace(report.refusal, stage=Stage.PREFLIGHT, output=output_of(report))


def output_of(report: RehearsalReport) -> str:
    """The end of what was written, without what commands a terminal."""
    return report.output.replace("\r\n", "\n").replace("\r", "\n").translate(_ESCAPED)
