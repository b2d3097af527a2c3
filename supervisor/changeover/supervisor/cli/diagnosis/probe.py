"""The plugin that is swapped beside the application, and the census that it takes in each worker."""

from pathlib import Path

import msgspec

ID = "changeover-doctor"
PATH = "/changeover-doctor"
"""Where the census answers; the application's own path of that name is out of reach while it is examined."""
FILE = "changeover_doctor.py"

SOURCE = '''\
# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "changeover-doctor"
# version = "1.0.{number}"
# services = {{ census = {{ mount = "/changeover-doctor" }} }}
# ///
"""Counts what lives in this worker. What was seen once is held, so that no second instance takes its address."""

import asyncio
import gc
import os
import re
import sys
import threading
from collections import Counter

from changeover.plugin import CallContext, Request, Response, service
from changeover.workers.serving.asgi import Application
from changeover.workers.serving.wsgi import WsgiApplication


@service
async def census(request: Request, call: CallContext) -> Response:
    seen = sys.__dict__.setdefault("changeover_doctor_seen", [])
    for thing in gc.get_objects():
        if type(thing) in (Application, WsgiApplication) and not any(thing is other for other in seen):
            seen.append(thing)
    tasks = Counter(named(task.get_coro()) for task in asyncio.all_tasks())
    threads = Counter(re.sub(r"\\d+", "N", thread.name) for thread in threading.enumerate())
    return Response.json({{"pid": os.getpid(), "instances": len(seen), "tasks": tasks, "threads": threads}})


def named(coroutine):
    frame = getattr(coroutine, "cr_frame", None)
    module = frame.f_globals.get("__name__", "?") if frame else "?"
    return f"{{module}}.{{getattr(coroutine, '__qualname__', type(coroutine).__name__)}}"
'''


class WorkerCensus(msgspec.Struct, frozen=True):
    """What one worker says lives in it.

    Attributes:
        pid: Its process.
        instances: How many instances of applications, plugins' own included, it has had since the first census.
        tasks: Name of the coroutine -> how many tasks.
        threads: Name, numbers taken out -> how many threads that Python knows of.
    """

    pid: int
    instances: int
    tasks: dict[str, int]
    threads: dict[str, int]


def install(number: int, plugins: Path) -> None:
    """Put the probe of that number into the folder of plugins; it appears whole."""
    fresh = plugins / f".{FILE}"
    fresh.write_text(SOURCE.format(number=number), "utf-8")
    fresh.replace(plugins / FILE)
