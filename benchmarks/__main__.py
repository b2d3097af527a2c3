"""Every figure in docs/benchmarks.md: runs all commands one after the other, then rewrites the page."""

import argparse
import shlex
import subprocess
import sys

import msgspec

from benchmarks.machine import here
from benchmarks.page import Transcript, rewrite
from benchmarks.publication import FIGURES

MEASURED = (
    *("swaps_under_load", "commit_latency", "window_latency", "memory", "registry_poller"),
    *("rolls_under_load", "peers", "first_served", "roll_latency", "cohort_memory", "replacement", "supervisor_killed"),
    *("hostile_plugins", "throughput", "authz"),
)
"""Commands that leave a table, verdicts and a chart."""
TOLD = {"simulate": ("--schedules", "20000", "--jobs", "2"), "hello_wire": (), "dispatch_cost": (), "read_path": ()}
"""Commands that word their own figures, and their arguments."""


def main(arguments: list[str]) -> int:
    """Run, and rewrite the page; the status is 1 when a promise did not hold, or nothing was compared."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument("--quick", action="store_true", help="short runs; the page stays as it is")
    options.add_argument("--page-only", action="store_true", help="rewrite the page from the figures that are there")
    given = options.parse_args(arguments)
    flags = ["--quick"] if given.quick else []
    failed = [] if given.page_only else [name for name in MEASURED if _measure(name, flags)]
    if not (given.page_only or given.quick):
        failed += [name for name, flags in TOLD.items() if _tell(name, flags)]
    if not given.quick:
        rewrite(MEASURED, tuple(TOLD))
    if failed:
        print(f"not as promised, or not compared: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _measure(name: str, flags: list[str]) -> int:
    return subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *flags]).returncode


def _tell(name: str, flags: tuple[str, ...]) -> int:
    """Run a command that words its own figures, show what it prints, and keep it."""
    command = ("-m", f"benchmarks.{name}", *flags)
    done = subprocess.run([sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout)
    machine = msgspec.structs.replace(here(f"benchmarks.{name}"), command=shlex.join(["python", *command]))
    FIGURES.mkdir(parents=True, exist_ok=True)
    transcript = Transcript(machine, done.returncode, done.stdout)
    (FIGURES / f"{name}.json").write_bytes(msgspec.json.format(msgspec.json.encode(transcript), indent=1) + b"\n")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
