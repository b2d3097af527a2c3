"""What the report of a rehearsal says, made fit to be shown. Pure."""

import msgspec

from changeover.workers.protocol.refusal import Refusal, Stage
from changeover.workers.protocol.rehearsal import RehearsalReport

_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""What moves cursors and changes colours on the terminal of whoever reads it."""
_ESCAPED_IN_LINE = _ESCAPED | {ord("\n"): " ", ord("\t"): " "}


def shown(report: RehearsalReport) -> RehearsalReport:
    """All that it says without what commands a terminal, and the "no", if there is one, with the end of the output."""
    output = _lines(report.output)
    return msgspec.structs.replace(
        report,
        refusal=None if report.refusal is None else _refusal(report.refusal, output),
        output=output,
        missing=tuple(map(_line, report.missing)),
        warnings=tuple(map(_line, report.warnings)),
        skipped=_line(report.skipped),
        barred=_line(report.barred),
    )


def _refusal(refusal: Refusal, output: str) -> Refusal:
    return Refusal(
        Stage.PREFLIGHT,
        refusal.fault,
        _line(refusal.summary),
        _line(refusal.unit),
        _line(refusal.hook),
        _line(refusal.where),
        _line(refusal.source),
        _lines(refusal.traceback),
        output,
        _line(refusal.requires),
    )


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_ESCAPED)


def _line(text: str) -> str:
    return text.translate(_ESCAPED_IN_LINE)
