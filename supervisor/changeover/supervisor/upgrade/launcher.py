"""Executed in the supervisor's process between two programs: it runs the new one, and goes back when that fails.

It is run out of an archive of the old program, by the new interpreter, and knows nothing but the standard library. The
new program runs in this very process. It has until the deadline to say that it has taken over; when it ends before
that, raises, or does not get there in time, the old interpreter is executed with the old program out of the archive,
with every descriptor under its old number. Until then it answers a service manager's watchdog, which would end the
process before there is a way back. What the kernel kills is beyond it: then the workers serve on, and whoever started
the supervisor starts it again.
"""

import json
import math
import os
import runpy
import select
import signal
import socket
import sys
import time
import traceback
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

LAUNCH, RESUME = "launch", "resume"


class Watchdog:
    """A service manager's, which wants to hear of this process again and again.

    Args:
        environment: What the service manager said of it.

    Attributes:
        rhythm: Seconds between two answers; infinite where nobody waits for one.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        address, wanted = environment.get("NOTIFY_SOCKET", ""), environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self._address = "\0" + address[1:] if address.startswith("@") else address
        asked = address and ours and wanted.isdecimal() and int(wanted) > 0
        self.rhythm = int(wanted) / 2e6 if asked else math.inf

    def answer(self) -> None:
        """Say that we live."""
        if self.rhythm < math.inf:
            with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.setblocking(False)
                manager.sendto(b"WATCHDOG=1", self._address)


class Launcher:
    """One attempt to run a new program.

    Args:
        plan: What the old program wrote down.
    """

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._reserve = {fd: os.dup(fd) for fd in plan["descriptors"]}
        self._taken_over = False
        self._until = math.inf
        self._watchdog = Watchdog(plan["environment"])
        for fd in (*self._reserve, plan["taken"]):
            os.set_inheritable(fd, False)

    def run(self) -> NoReturn:
        """Run the new program; return to the old one when it does not take over."""
        signal.signal(signal.SIGALRM, self._wake)
        self._until = time.monotonic() + self._plan["deadline"]
        self._watchdog.answer()
        self._rest()
        try:
            runpy.run_module(self._plan["module"], run_name="__main__", alter_sys=True)
        except SystemExit as leaving:
            if self._has_taken_over():
                raise
            self._go_back(f"it ended with status {leaving.code} before it took over")
        except BaseException as error:
            if self._has_taken_over():
                raise
            with suppress(OSError, ValueError):  # whoever read it may be gone
                traceback.print_exc()
            self._go_back(f"it failed before it took over: {error!r}")
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)  # an interpreter that ends takes the handler away first
        sys.exit(0)

    def _rest(self) -> None:
        left = self._until - time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, max(0.001, min(left, self._watchdog.rhythm)))

    def _wake(self, _signum: int, _frame: FrameType | None) -> None:
        if not self._has_taken_over():
            if time.monotonic() >= self._until:
                self._go_back(f"it did not take over within {self._plan['deadline']:g} s")
            self._watchdog.answer()
            self._rest()
            return
        for fd in (*self._reserve.values(), self._plan["taken"], self._plan["archive"]):
            os.close(fd)

    def _has_taken_over(self) -> bool:
        if not self._taken_over:
            readable, _, _ = select.select([self._plan["taken"]], [], [], 0)
            self._taken_over = bool(readable) and os.read(self._plan["taken"], 1) != b""
        return self._taken_over

    def _go_back(self, reason: str) -> NoReturn:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.pthread_sigmask(signal.SIG_BLOCK, self._plan["signals"])
        self._watchdog.answer()
        for fd, reserved in self._reserve.items():
            os.dup2(reserved, fd, inheritable=True)
        environment = {**self._plan["environment"], self._plan["reason"]: reason}
        os.chdir(self._plan["directory"])
        python, archive = self._plan["python"], f"/proc/self/fd/{self._plan['archive']}"
        with suppress(OSError, ValueError):
            sys.stderr.write(f"changeover: the new program does not run ({reason}): going back\n")
            sys.stderr.flush()
        os.execve(python, [python, "-P", archive, RESUME, *self._plan["arguments"]], environment)


def main(arguments: list[str]) -> None:
    """Launch the new program, or resume the old one."""
    what, *rest = arguments
    if what == LAUNCH:
        sys.path.pop(0)
        with open(int(rest[0])) as file:
            plan = json.load(file)
        sys.argv = ["changeover", *plan["arguments"]]
        Launcher(plan).run()
    sys.argv = ["changeover", *rest]
    runpy.run_module("changeover.supervisor", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
