"""A process that may write below some folders only; each test confines a process of its own, for good."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from changeover.workers.runtime import landlock
from changeover.workers.runtime.landlock import LEAST_ABI, LandlockMissing

CONFINED = """
import os, socket, subprocess, sys, tempfile
from changeover.workers.runtime import landlock
from changeover.workers.runtime.privileges import give_up_new_privileges

inside, outside = sys.argv[1:]
os.chdir(outside)
if landlock.abi() < landlock.LEAST_ABI:
    sys.exit("too old")
give_up_new_privileges()
landlock.write_only_below([inside])

def tried(call):
    try:
        call()
    except PermissionError:
        return "denied"
    return "done"

for name, call in {
    "write inside": lambda: open(f"{inside}/new", "w").close(),
    "socket inside": lambda: socket.socket(socket.AF_UNIX).bind(f"{inside}/sock"),
    "temporary file": lambda: tempfile.NamedTemporaryFile().close(),
    "null device": lambda: open("/dev/null", "w").close(),
    "read outside": lambda: open("kept").read(),
    "write outside": lambda: open("new", "w"),
    "overwrite": lambda: open("kept", "w"),
    "append": lambda: open("kept", "a"),
    "truncate": lambda: os.truncate("kept", 0),
    "remove": lambda: os.unlink("kept"),
    "folder": lambda: os.mkdir("folder"),
    "link": lambda: os.symlink("kept", "link"),
    "move out": lambda: os.rename(f"{inside}/new", "new"),
    "by a child": lambda: subprocess.run(["touch", "new"], stderr=subprocess.DEVNULL).returncode and os.unlink("kept"),
}.items():
    print(name, tried(call), sep=": ")
"""


def confined(inside: Path, outside: Path) -> dict[str, str]:
    """What a confined process could do."""
    command = [sys.executable, "-c", CONFINED, str(inside), str(outside)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=30, env={**os.environ, "TMPDIR": str(inside)}
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split(": ", 1) for line in done.stdout.splitlines())


def test_it_changes_nothing_outside_and_reads_everything(tmp_path: Path) -> None:
    if landlock.abi() < LEAST_ABI:
        with pytest.raises(LandlockMissing):
            landlock.require(landlock.abi())
        return
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "kept").write_text("kept")
    found = confined(inside, outside)
    done = [name for name, what in found.items() if what == "done"]
    assert done == ["write inside", "socket inside", "temporary file", "null device", "read outside"]
    assert len(found) == 14
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_text() == "kept"


@pytest.mark.parametrize(("abi", "words"), [(0, "not built in"), (2, "its version is 2")])
def test_a_kernel_that_cannot_do_it_is_told_with_what_it_takes(abi: int, words: str) -> None:
    with pytest.raises(LandlockMissing, match=f"Landlock 3, of Linux 6.2 or later; .*{words}"):
        landlock.require(abi)
