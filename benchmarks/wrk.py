"""Busy keep-alive connections by wrk, or, where that is possible, by the load where wrk is not installed."""

import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from benchmarks.load.process import LoadBroken, running, total
from benchmarks.load.record import Mix

LONGEST = 3600
"""Seconds after which wrk leaves by itself, should nobody stop it."""
STOP = 60.0
"""Seconds until it has stopped."""
SETTLE = 2.0
"""Seconds until all of its connections are open."""


class Busy(msgspec.Struct, frozen=True):
    """What busy connections met.

    Attributes:
        by: Who made them.
        requests: How many were answered.
        errors: What went wrong -> how often.
    """

    by: str
    requests: int
    errors: dict[str, int]


class Pressing:
    """Busy connections that are pressing.

    Attributes:
        found: What they met, once they were stopped.
    """

    def __init__(self) -> None:
        self.found = Busy("", 0, {})


@contextmanager
def pressing(address: tuple[str, int], connections: int) -> Iterator[Pressing]:
    """Keep so many connections busy; what they met is there when this is left."""
    press = Pressing()
    command = shutil.which("wrk")
    if command is None:
        mix = Mix(busy=connections, idle=0, fresh=0, silent=0, post=0, dribble=0, stream=0, long=0, pace=0.0)
        with running(address, mix) as load:
            yield press
            totals = total(load.stop())
        errors = {fault.value: count for fault, count in totals.faults.items()}
        press.found = Busy("benchmarks.load", sum(totals.requests.values()), errors)
        return
    host, port = address
    words = [command, "-t1", f"-c{connections}", f"-d{LONGEST}s", "--timeout", "30s", f"http://{host}:{port}/fast"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(SETTLE)
        yield press
        process.send_signal(signal.SIGINT)
        press.found = read(process.communicate(timeout=STOP)[0])
    finally:
        process.kill()
        process.wait(STOP)


class Errand(msgspec.Struct, frozen=True):
    """What busy connections ask for, again and again.

    Attributes:
        path: What is asked for.
        body: What is sent along, with POST; nothing when empty.
        connections: How many there are.
    """

    path: str = "/"
    body: str = ""
    connections: int = 50


def press(address: tuple[str, int], errand: Errand, seconds: int) -> Busy:
    """Keep connections busy for so long.

    Raises:
        LoadBroken: wrk is not installed, or says nothing useful.
    """
    command = shutil.which("wrk")
    if command is None:
        raise LoadBroken("wrk is not installed")
    with tempfile.NamedTemporaryFile("w", prefix="errand-", suffix=".lua") as script:
        if errand.body:
            script.write(f'wrk.method = "POST"\nwrk.body = [[{errand.body}]]\n')
            script.flush()
        words = [command, "-t1", f"-c{errand.connections}", f"-d{seconds}s", "--timeout", "30s", "-s", script.name]
        url = f"http://{address[0]}:{address[1]}{errand.path}"
        done = subprocess.run([*words, url], stdout=subprocess.PIPE, text=True, timeout=seconds + STOP)
    return read(done.stdout)


def read(told: str) -> Busy:
    """What wrk printed.

    Raises:
        LoadBroken: It is not what wrk prints.
    """
    requests = re.search(r"(\d+) requests in ", told)
    if requests is None:
        raise LoadBroken(f"wrk did not say how many requests it made: {told[-400:]}")
    errors = {kind: int(count) for kind, count in re.findall(r"(connect|read|write|timeout) (\d+)", told)}
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    errors["status"] = int(wrong[1]) if wrong else 0
    return Busy("wrk", int(requests[1]), {kind: count for kind, count in errors.items() if count})
