"""Has a candidate rehearsed where no server is, by `python -P -m changeover.workers.preflight`."""

import os
import signal
import subprocess
import sys

from changeover.workers.errors import ChangeoverError
from changeover.workers.protocol.codec import MalformedFrame
from changeover.workers.protocol.rehearsal import RehearsalOrder, RehearsalReport, decode_report, encode

PROGRAM = "changeover.workers.preflight"
"""The module that rehearses: an order on its standard input, a report on its standard output."""
LATE = 5.0
"""Seconds past the order's deadline that it has to say where the candidate stood still."""


class NotRehearsed(ChangeoverError):
    """The process that was to rehearse a candidate gave no report.

    Attributes:
        reason: What it did instead.
        output: What it wrote.
    """

    def __init__(self, reason: str, output: str = "") -> None:
        self.reason = reason
        self.output = output
        super().__init__(f"the preflight {reason}" + (f":\n{output}" if output else ""))


def rehearse(order: RehearsalOrder) -> RehearsalReport:
    """Rehearse, in a process that is confined as far as the kernel can. Blocks.

    Raises:
        NotRehearsed: There is no report, or it is of nothing but what serves.
    """
    status, written, said = _ended(order)
    if not written:
        raise NotRehearsed(f"ended with status {status}", said)
    try:
        report = decode_report(written)
    except MalformedFrame as error:
        raise NotRehearsed(f"reported what cannot be read: {error}") from error
    if report.skipped:
        raise NotRehearsed(f"did not come to it: {report.skipped}", report.output)
    return report


def _ended(order: RehearsalOrder) -> tuple[int, bytes, str]:
    """Its exit status, its report, and what else it wrote."""
    seconds = order.settings.deadline + LATE
    pipe = subprocess.PIPE
    command = (sys.executable, "-P", "-m", PROGRAM)
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True) as process:
        try:
            written, said = process.communicate(encode(order), timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise NotRehearsed(f"did not end within {seconds:g} s") from None
    return process.returncode, written, said.decode(errors="replace")
