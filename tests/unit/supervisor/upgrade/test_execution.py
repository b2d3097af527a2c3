"""A process becomes another program, whatever still is to happen to it."""

import subprocess
import sys

PROGRAM = """
import io, os, signal, sys, zipfile
from changeover.supervisor.upgrade.errors import NotExecuted
from changeover.supervisor.upgrade.execution import execute
from changeover.supervisor.upgrade.handed import Handed
from changeover.supervisor.upgrade.launch import Launch
from changeover.workers.protocol.belongings import Belongings

packed = io.BytesIO()
with zipfile.ZipFile(packed, "w") as files:
    files.writestr("__main__.py", "import time; time.sleep(0.3); print('lives')")
archive = os.memfd_create("archive")
os.write(archive, packed.getvalue())
null = os.open(os.devnull, os.O_RDONLY)
signal.signal(signal.SIGALRM, lambda *_: os.write(1, b"rings\\n"))
signal.setitimer(signal.ITIMER_REAL, 0.15)
launch = Launch(sys.executable, (), os.getcwd(), dict(os.environ))
try:
    execute(launch, {python}, archive, Handed("1", null, null, Belongings()))
except NotExecuted:
    signal.pause()
"""


def test_the_deadline_of_the_launcher_before_does_not_end_the_next_program() -> None:
    assert said(PROGRAM.format(python="sys.executable")) == (0, "lives")


def test_a_program_that_cannot_be_executed_leaves_that_deadline_as_it_was() -> None:
    assert said(PROGRAM.format(python="'/nonexistent'")) == (0, "rings")


def said(program: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stdout.strip()
