"""A rehearsal without a zygote: an order on stdin, a report on stdout."""

import os
import signal
import subprocess
import sys

import pytest

from changeover.workers.preflight.alone import NotRehearsed, rehearse
from changeover.workers.protocol.rehearsal import decode_report, encode
from tests.rehearsing import FINE, OWN, Orders, running
from tests.waits import until_sync

COMMAND = (sys.executable, "-P", "-m", "changeover.workers.preflight")
SLEEPER = ("sleep", f"86421.{os.getpid()}")
"""Nobody else runs that, not even another process of the same tests."""


def test_it_reports_and_what_the_plugin_prints_is_no_part_of_that(orders: Orders) -> None:
    order = orders.order(OWN + "    def on_load(self, ctx): print('hello')\n", current=None)
    done = subprocess.run(COMMAND, input=encode(order), capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    report = decode_report(done.stdout)
    assert (report.refusal, report.modules, report.output) == (None, 1, "hello\n")


def test_a_refusal_is_a_report(orders: Orders) -> None:
    order = orders.order(OWN + "    def on_load(self, ctx): os._exit(7)\n", current=None)
    done = subprocess.run(COMMAND, input=encode(order), capture_output=True, timeout=60, check=False)
    refusal = decode_report(done.stdout).refusal
    assert refusal is not None
    assert refusal.summary == "it ended its process with status 7 in plugin geo on_load"


def test_nothing_goes_on_that_nobody_waits_for(orders: Orders) -> None:
    code = OWN + f"    def on_load(self, ctx): subprocess.run({SLEEPER!r})\n"
    order = encode(orders.order(code, current=None))
    for end in ("closed", "killed"):
        with subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(order)
            process.stdin.close()
            until_sync(lambda: running(*SLEEPER), "the plugin to begin")
            if end == "killed":
                process.send_signal(signal.SIGKILL)
            process.stdout.close()
            until_sync(lambda: not running(*SLEEPER), f"all of it to end, {end}")
            assert process.wait(10) == (1 if end == "closed" else -signal.SIGKILL)


def test_what_is_no_order_is_an_error() -> None:
    done = subprocess.run(COMMAND, input=b"nonsense", capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert b"MalformedFrame" in done.stderr


def test_without_a_report_about_the_candidate_there_is_none(orders: Orders) -> None:
    order = orders.order(FINE, current=(OWN + "    def on_load(self, ctx): os._exit(5)\n",))
    with pytest.raises(NotRehearsed, match="did not come to it: what serves cannot be loaded in a preflight"):
        rehearse(order)
