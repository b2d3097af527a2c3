"""Starts load processes and collects what they saw."""

import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from benchmarks.load.record import CLOSES, UNFAILED, Fault, Kind, LoadReport, Mix, Trouble

READY = 60.0
"""Seconds until every client has its first answer."""
STOP = 60.0
"""Seconds until every client has finished what it does."""


class LoadBroken(Exception):
    """A load process did not do what it was asked to: its figures say nothing."""


class Load:
    """Running load processes; `stop` ends them and gives what they saw."""

    def __init__(self, processes: list["subprocess.Popen[bytes]"], reports: list[Path]) -> None:
        self._processes = processes
        self._reports = reports

    @property
    def pids(self) -> tuple[int, ...]:
        """Their process ids."""
        return tuple(process.pid for process in self._processes)

    def await_ready(self) -> None:
        """Return when every client had an answer.

        Raises:
            LoadBroken: A process ended instead.
        """
        for process in self._processes:
            assert process.stdout is not None
            if process.stdout.readline().strip() != b"ready":
                raise LoadBroken(f"a load process ended with status {process.wait(STOP)} before it was ready")

    def stop(self) -> tuple[LoadReport, ...]:
        """Let every client finish, and read the reports."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            if process.wait(STOP):
                raise LoadBroken(f"a load process ended with status {process.returncode}")
        return tuple(msgspec.json.decode(report.read_bytes(), type=LoadReport) for report in self._reports)

    def kill(self) -> None:
        """End what still runs."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait(STOP)
            if process.stdout is not None:
                process.stdout.close()


@contextmanager
def running(address: tuple[str, int], mix: Mix, processes: int = 1) -> Iterator[Load]:
    """Put load on `address`; entered when every client had its first answer."""
    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        reports = [Path(folder, f"{number}.json") for number in range(processes)]
        commands = [
            _command(address, share, seed, report)
            for seed, (share, report) in enumerate(zip(mix.split(processes), reports, strict=True), start=1)
        ]
        load = Load([subprocess.Popen(command, stdout=subprocess.PIPE) for command in commands], reports)
        try:
            load.await_ready()
            yield load
        finally:
            load.kill()


def _command(address: tuple[str, int], mix: Mix, seed: int, report: Path) -> list[str]:
    host, port = address
    return [
        *(sys.executable, "-m", "benchmarks.load", "--host", host, "--port", str(port)),
        *("--mix", msgspec.json.encode(mix).decode(), "--seed", str(seed), "--out", str(report)),
    ]


class Totals(msgspec.Struct, frozen=True):
    """What all load processes together saw.

    Attributes:
        requests: Kind -> requests answered whole and right.
        connections: Connections opened.
        faults: Fault -> how often.
        failed: Requests without a whole, right answer from one epoch.
        closed: Connections that the server closed, unasked.
        confused: Epochs that were answered by more than one content, or contents that answered as several epochs.
        troubles: The first faults, one by one.
    """

    requests: dict[Kind, int]
    connections: int
    faults: dict[Fault, int]
    failed: int
    closed: int
    confused: tuple[str, ...]
    troubles: tuple[Trouble, ...]


def total(reports: tuple[LoadReport, ...]) -> Totals:
    """Add reports up."""
    requests: Counter[Kind] = Counter()
    faults: Counter[Fault] = Counter()
    for report in reports:
        requests.update(report.requests)
        faults.update(report.faults)
    return Totals(
        {kind: requests[kind] for kind in Kind if requests[kind]},
        sum(report.connections for report in reports),
        {fault: faults[fault] for fault in Fault if faults[fault]},
        sum(count for fault, count in faults.items() if fault not in UNFAILED),
        sum(count for fault, count in faults.items() if fault in CLOSES),
        _confused(reports),
        tuple(trouble for report in reports for trouble in report.troubles),
    )


def _confused(reports: tuple[LoadReport, ...]) -> tuple[str, ...]:
    markers: dict[int, set[str]] = {}
    epochs: dict[str, set[int]] = {}
    for report in reports:
        for epoch, seen in report.markers.items():
            markers.setdefault(epoch, set()).update(seen)
            for marker in seen:
                epochs.setdefault(marker, set()).add(epoch)
    several = [f"epoch {epoch}: {sorted(seen)}" for epoch, seen in markers.items() if len(seen) > 1]
    return (*several, *(f"content {marker}: epochs {sorted(seen)}" for marker, seen in epochs.items() if len(seen) > 1))
