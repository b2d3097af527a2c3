"""One load process: says `ready` when every client had its first answer, reports when it is terminated."""

import argparse
import asyncio
import gc
import random
import signal
import sys
import time
from pathlib import Path

import msgspec
import uvloop

from benchmarks.load.line import Line
from benchmarks.load.record import KINDS, LoadReport, Mix, Tally
from benchmarks.load.traffic import ACTS, Conduct

STAGGER = 0.5
"""Seconds over which clients start, so that they do not march in step."""


def main(arguments: list[str]) -> int:
    """Run the load; the status is 0 also when there were faults: they are in the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mix", default="{}", help="JSON of how many clients there are of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="where the report goes, JSON")
    options = parser.parse_args(arguments)
    mix = msgspec.json.decode(options.mix, type=Mix)
    report = uvloop.run(load((options.host, options.port), mix, options.seed))
    options.out.write_bytes(msgspec.json.encode(report))
    return 0


async def load(address: tuple[str, int], mix: Mix, seed: int) -> LoadReport:
    """Run the clients until SIGTERM or SIGINT."""
    tally = Tally()
    conduct = Conduct(mix.pace, random.Random(seed))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, conduct)
    lines = [Line(kind, address, tally) for kind in KINDS for _ in range(mix.of(kind))]
    gc.freeze()
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(_watch(lines))
        clients = [group.create_task(_act(line, conduct)) for line in lines]
        await asyncio.wait(clients)
        watch.cancel()
    for line in lines:
        line.close()
    return tally.report()


def _stop(conduct: Conduct) -> None:
    conduct.stopping = True


async def _act(line: Line, conduct: Conduct) -> None:
    await asyncio.sleep(conduct.random.uniform(0.0, STAGGER))
    await ACTS[line.kind](line, conduct)


async def _watch(lines: list[Line]) -> None:
    """Say `ready` once, and give up on answers that are overdue."""
    while not all(line.asked for line in lines):
        await asyncio.sleep(0.05)
        _look(lines)
    print("ready", flush=True)
    while True:
        await asyncio.sleep(1.0)
        _look(lines)


def _look(lines: list[Line]) -> None:
    now = time.monotonic()
    for line in lines:
        line.look(now)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
