"""`changeover doctor`, typed for applications that are well and for such as are not."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from changeover.supervisor.cli.diagnosis.judgement import Verdict
from changeover.supervisor.cli.diagnosis.page import Report
from changeover.supervisor.cli.exits import Exit
from changeover.supervisor.cli.tour.versions import install
from tests.environments import Environment

COMMAND = (sys.executable, "-m", "changeover", "doctor")
APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    serve(scope)
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"served"})
"""
"""An application without a library, which calls `serve` for each request."""
WELL = "status = 200\ndef serve(scope): pass\n"


class Doctor:
    """Sees the application in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, top: str, name: str = "shop.py") -> None:
        """Write the application; `top` stands before it."""
        (self.folder / name).write_text(f"{top}\n{APP}")

    def type(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Type the command and wait for it; a few changes, not twenty of each."""
        return subprocess.run(
            [*COMMAND, *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
            env={**os.environ, "CHANGEOVER_RUNTIME_DIR": str(self.folder / "unused")},
        )

    def report(self, *words: str) -> tuple[int, Report, dict[str, str]]:
        """The exit status, what was found, and the verdicts by question."""
        done = self.type(*words, "--json")
        assert done.stdout, done.stderr
        report = msgspec.json.decode(done.stdout, type=Report)
        return done.returncode, report, {check.title: check.verdict.value for check in report.checks}


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    return Doctor(tmp_path)


def test_a_healthy_application_is_told_to_be_and_nothing_is_left_of_the_visit(doctor: Doctor) -> None:
    doctor.write(WELL)
    done = doctor.type("shop:app", "--swaps=4", "--rolls=3", "--within=60")
    assert done.returncode == Exit.DONE, done.stdout + done.stderr
    for line in (
        "  swaps      4/4  ",
        "  rolls      3/3  ",
        "ok       fork-safe            the import of 1 module leaves nothing that workers must not share",
        "ok       keeps its instance   the same one in the same 2 workers after 4 swaps",
        "ok       swaps                4/4 committed",
        "ok       rolls                3/3 committed",
        "ok       swaps leave nothing  memory, threads, tasks and descriptors do not go on growing",
        "nothing was found against shop:app",
    ):
        assert line in done.stdout
    assert "0 failed, 0 closed" in done.stdout
    assert sorted(path.name for path in doctor.folder.iterdir() if path.name != "__pycache__") == ["shop.py"]


def test_an_import_that_starts_a_thread_or_opens_a_socket_is_named(doctor: Doctor) -> None:
    (doctor.folder / "metrics.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(900,), daemon=True).start()\n"
    )
    (doctor.folder / "cache.py").write_text(
        "import socket\nlistening = socket.create_server(('127.0.0.1', 0))\nport = listening.getsockname()[1]\n"
    )
    doctor.write(f"import metrics, cache\n{WELL}")
    status, report, verdicts = doctor.report("shop:app", "--swaps=1", "--rolls=1", "--within=60")
    assert status == Exit.REFUSED
    assert {title for title, verdict in verdicts.items() if verdict == Verdict.FOUND.value} == {"fork-safe"}
    found = report.checks[0]
    assert found.details[0] == "metrics starts a thread"
    assert found.details[1].startswith("cache leaves a socket: TCP listening at 127.0.0.1:")
    assert "lifespan's startup" in found.advice


def test_a_slow_import_is_named(doctor: Doctor) -> None:
    (doctor.folder / "rates.py").write_text("import time\ntime.sleep(1.5)\n")
    doctor.write(f"import rates\n{WELL}")
    status, report, verdicts = doctor.report("shop:app", "--swaps=1", "--rolls=0", "--within=1.5")
    assert (status, verdicts["boots fast"]) == (Exit.REFUSED, Verdict.FOUND.value)
    assert verdicts["rolls"] == Verdict.UNKNOWN.value
    assert report.checks[1].details[0].endswith("s  rates")
    assert report.measured.rolls == ()


def test_descriptors_that_requests_leak_are_counted_and_named(doctor: Doctor) -> None:
    doctor.write(
        "import os\nstatus = 200\nkept = []\ndef serve(scope): kept.append(os.open('/dev/zero', os.O_RDONLY))\n"
    )
    status, report, verdicts = doctor.report("shop:app", "--swaps=6", "--rolls=0", "--within=60", "--workers=1")
    assert (status, verdicts["swaps leave nothing"]) == (Exit.REFUSED, Verdict.FOUND.value)
    [line] = [line for line in report.checks[5].details if line.startswith("descriptors")]
    before, after = (look.among_workers.descriptors["/dev/zero"] for look in report.measured.swaps_looks[::2])
    grown = line.partition(": ")[2].split(", ")
    proving = [each for each in grown if each.endswith("/run +1")]  # the folder that a worker locks while it is at it
    assert [each for each in grown if each not in proving] == [f"/dev/zero +{after - before}"]
    assert report.measured.swaps_load.requests == after - before


def test_what_cannot_be_rolled_is_shown_with_its_reason_and_not_tried_again(doctor: Doctor) -> None:
    doctor.write(f"import fcntl\nlock = open('lock', 'a')\nfcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)\n{WELL}")
    status, report, verdicts = doctor.report("shop:app", "--swaps=1", "--rolls=5", "--within=60")
    assert (status, verdicts["swaps"], verdicts["rolls"]) == (Exit.REFUSED, Verdict.OK.value, Verdict.FOUND.value)
    assert len(report.measured.rolls) == 1
    assert any("BlockingIOError" in line for line in report.checks[4].details)


def test_plugins_of_the_user_are_served_beside_the_probe(doctor: Doctor) -> None:
    (doctor.folder / "plugins").mkdir()
    install("1.0.0", doctor.folder / "plugins")
    status, report, verdicts = doctor.report("--plugins=plugins", "--path=/quote", "--swaps=1", "--rolls=1")
    assert (status, report.measured.status, verdicts["swaps"]) == (Exit.DONE, 200, Verdict.OK.value)
    assert [path.name for path in (doctor.folder / "plugins").iterdir()] == ["prices.py"]


def test_the_application_is_examined_with_the_interpreter_that_is_named(doctor: Doctor) -> None:
    other = Environment(doctor.folder / "other")
    doctor.write(f"import sys\nassert sys.prefix == {str(other.folder)!r}, sys.prefix\n{WELL}")
    named, unnamed = (doctor.type("shop:app", "--swaps=0", "--rolls=0", *more) for more in (("--python=other",), ()))
    assert "ok       fork-safe" in named.stdout
    assert f"AssertionError: {sys.prefix}" in unnamed.stdout + unnamed.stderr
    gone = doctor.type("shop:app", "--python=gone")
    assert gone.returncode == Exit.REFUSED
    assert f"python {doctor.folder}/gone cannot be executed" in gone.stderr


def test_an_application_that_does_not_boot_ends_it_as_it_ends_run(doctor: Doctor) -> None:
    doctor.write(f"import nothing_of_this_name\n{WELL}")
    done = doctor.type("shop:app")
    assert done.returncode == Exit.APP_LOAD
    assert "nothing_of_this_name" in done.stderr


def test_a_path_that_is_answered_with_errors_cannot_be_asked_for(doctor: Doctor) -> None:
    doctor.write("status = 500\ndef serve(scope): pass\n")
    done = doctor.type("shop:app")
    assert done.returncode == Exit.USAGE
    assert "GET / is answered with HTTP/1.1 500" in done.stderr
    assert "--path" in done.stderr


def test_nothing_to_examine_is_a_mistake_of_usage(doctor: Doctor) -> None:
    assert doctor.type().returncode == Exit.USAGE
