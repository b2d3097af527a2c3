"""The life of a service, from its directories to its exit status."""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

from changeover.supervisor.artifacts.addresses import at_start
from changeover.supervisor.artifacts.scanner import Scanner
from changeover.supervisor.config.check import Checked
from changeover.supervisor.config.paths import paths
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.errors import SupervisorError
from changeover.supervisor.footing import take_footing
from changeover.supervisor.host import Host
from changeover.supervisor.interpreters.asking import Interpreters
from changeover.supervisor.journal.folder import shared
from changeover.supervisor.journal.journal import Journal
from changeover.supervisor.process.signals import SignalInbox
from changeover.supervisor.service import BUG, Service
from changeover.supervisor.telemetry import log
from changeover.supervisor.telemetry.tracebacks import Tracebacks
from changeover.supervisor.upgrade.program import Program
from changeover.supervisor.watching.places import plan
from changeover.supervisor.watching.watching import begin

logger = logging.getLogger("changeover")

ReadSettings = Callable[[], Checked]

LEAVE = 10.0
"""Seconds from the last decision to being gone, whatever a disk that hangs still holds up."""


def run(
    settings: Settings,
    read_settings: ReadSettings,
    inbox: SignalInbox,
    program: Program,
    tracebacks: Tracebacks = Tracebacks.WHOLE,
) -> int:
    """Serve until told to stop.

    Args:
        settings: What to serve, and how.
        read_settings: Reads them again for each scan.
        inbox: Takes signals since before anything that takes time.
        program: What runs this service.
        tracebacks: How much of them the log has.

    Returns:
        The exit status.

    Raises:
        SupervisorError: The service cannot start; the message says why and what to do.
    """
    return asyncio.run(_serve(settings, read_settings, inbox, program, tracebacks))


async def _serve(
    settings: Settings, read_settings: ReadSettings, inbox: SignalInbox, program: Program, tracebacks: Tracebacks
) -> int:
    host = Host(settings)
    try:
        return await _serve_on(host, settings, read_settings, inbox, program, tracebacks)
    except SupervisorError as error:
        host.failed(str(error))
        raise
    finally:
        await host.close()


async def _serve_on(
    host: Host,
    settings: Settings,
    read_settings: ReadSettings,
    inbox: SignalInbox,
    program: Program,
    tracebacks: Tracebacks,
) -> int:
    places, handed = paths(settings, os.environ, os.getuid()), program.handed
    async with AsyncExitStack() as stack:
        runtime = host.take_runtime(places, None if handed is None else handed.runtime_lock)
        stack.callback(runtime.close)
        await host.prepare(runtime, places, program.comes_back)
        journal = await Journal.open(
            places.journal, settings.history.keep, None if handed is None else handed.state_lock
        )
        stack.push_async_callback(journal.close)
        told = await asyncio.to_thread(lambda: shared(places.state, settings, read_settings()))
        recovered = await journal.recover()
        listen = at_start(settings.bind, settings.boot, recovered)
        footing = await take_footing(host, runtime, recovered, handed, listen, stack)
        apart = (places.state, places.runtime)
        beginning = await asyncio.to_thread(begin, lambda: plan(read_settings(), apart))
        interpreters = Interpreters(os.environ, os.getcwd(), host.account)
        scanner = Scanner(settings, read_settings, places.store, apart, interpreters)
        service = Service(
            settings,
            footing,
            journal,
            scanner,
            interpreters,
            places.store,
            beginning,
            host,
            program,
            tracebacks,
        )
        stack.push_async_callback(service.name_holders)
        stack.push_async_callback(service.close, inbox)
        await service.start(inbox, recovered, listen)
        if told is not None:
            service.tell(told)
        status = await service.ended
        if status == BUG and service.taken_over:
            # As if killed: whoever serves on needs the sockets, and a successor finds them by those. A program that
            # has not taken over ends as its launcher expects it, and makes room for the one before.
            service.tell_rest()
            log.flush()
            os._exit(BUG)
        _leave_in_time(status)
        return status


def _leave_in_time(status: int) -> None:
    """Leave past the deadline by force: Python itself waits for threads that are stuck in the disk for ever."""

    def leave() -> None:
        time.sleep(LEAVE)
        logger.error("the disk holds up the end for more than %g s: leaving without it", LEAVE)
        log.flush()
        os._exit(status)

    threading.Thread(target=leave, name="leave", daemon=True).start()
