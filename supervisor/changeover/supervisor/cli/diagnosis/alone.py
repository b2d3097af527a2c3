"""Has a process of its own import and start the application, and waits for what it writes down."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import msgspec

from changeover.workers.protocol.examination import Examination, Examine

MODULE = "changeover.workers.runtime.examination"
LINES = 3
"""Last lines of what it wrote that are told when it gives no answer."""


def examine(wanted: Examine, folder: Path, deadline: float, python: str = sys.executable) -> Examination:
    """Examine an application. Blocks until it is done.

    Args:
        wanted: What to import.
        folder: An empty folder to write into.
        deadline: Seconds until it is killed, with everything that the import started.
        python: The interpreter that workers run on.
    """
    request, answer, log = (folder / name for name in ("request.json", "answer.json", "log"))
    request.write_bytes(msgspec.json.encode(wanted))
    command = [python, "-P", "-m", MODULE, str(request), str(answer)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    ended = _ends(process.pid, deadline)
    os.killpg(process.pid, signal.SIGKILL)
    status = process.wait()
    if not ended:
        return Examination(f"not imported and started within {deadline:g} s")
    if answer.is_file():
        return msgspec.json.decode(answer.read_bytes(), type=Examination)
    words = " | ".join(log.read_text("utf-8", "replace").splitlines()[-LINES:])
    return Examination(f"it ended with status {status}" + (f": {words}" if words else ""))


def _ends(pid: int, deadline: float) -> bool:
    """Whether a child ends in time. It is not reaped, so that its process group stays its own."""
    pidfd = os.pidfd_open(pid)
    try:
        return bool(select.select([pidfd], [], [], deadline)[0])
    finally:
        os.close(pidfd)
