"""Examines an application: imports it as a zygote would, starts and stops it once, and writes down what that was like.

`python -P -m changeover.workers.runtime.examination REQUEST ANSWER`, both of them files of JSON; executed by
`changeover doctor`, because what an import leaves in a process cannot be taken out of it again.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import uvloop

from changeover.workers.protocol.examination import Examination, Examine, Left
from changeover.workers.protocol.forking import DEFAULT_ENTRY
from changeover.workers.runtime.belongings import belongings, described
from changeover.workers.runtime.birth import entry_named, leave
from changeover.workers.runtime.import_watch import ImportWatch
from changeover.workers.runtime.preload import preload
from changeover.workers.serving.application import instance_of, load
from changeover.workers.serving.asgi import Application


def examine(wanted: Examine) -> Examination:
    """Import and start an application in this process, which is good for nothing else afterwards."""
    entry_named(DEFAULT_ENTRY)
    watch = ImportWatch(belongings)
    began = time.perf_counter()
    try:
        with watch.watching():
            threads = preload(wanted.application)
        imported = time.perf_counter() - began - watch.looking
        watch.look(wanted.application.target.partition(":")[0])
        left = tuple(_left(watch))
        started = _started(wanted)
    except BaseException as error:  # noqa: BLE001 - whatever user code raises, exits included, is told
        return Examination(f"{type(error).__name__}: {error}")
    return Examination("", imported, started, watch.modules(), threads, left)


def _started(wanted: Examine) -> float:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_start(wanted))


async def _start(wanted: Examine) -> float:
    """Seconds until it could be asked; it is stopped again."""
    app = wanted.application
    began = time.perf_counter()
    found = load(app.target, directory=Path(app.directory), factory=app.factory, interface=app.interface)
    application = instance_of(found, app.target, wanted.root_path)
    if not isinstance(application, Application):
        return time.perf_counter() - began
    await application.start(wanted.deadline)
    took = time.perf_counter() - began
    await application.stop(wanted.deadline)
    return took


def _left(watch: ImportWatch) -> Iterator[Left]:
    """What appeared and is still there."""
    there = belongings()
    for thing, module in watch.blamed.items():
        if thing in there:
            yield described(thing, module)


def main(request: str, answer: str) -> None:
    """Examine what `request` names and write the answer."""
    wanted = msgspec.json.decode(Path(request).read_bytes(), type=Examine)
    Path(answer).write_bytes(msgspec.json.encode(examine(wanted)))
    leave(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
