"""What the commit cell, the lease and a pipeline of three handlers cost, as a share of a native hello request.

Usage: python -m benchmarks.dispatch_cost [--quick]

Two servers in processes of their own on the first core are asked in turns by a client on the last core: `pipeline`
leads every request through the commit cell, a lease and three handlers that do nothing to a service, `service` calls
the same service in a task and nothing else. Processor time per request is taken of both. In each round, in this
process and without sockets, the three parts are timed besides, one by one:

    cell      reading the committed epoch and comparing it with what serves
    lease     taking a lease and letting it go
    pipeline  a request through the pipeline and its three handlers, less its lease, and less its service called and
              answered directly

Calling a handler is a part of dispatch, and what a handler does is not: these do nothing. What the loops cost that
time the parts is taken off. Everything is processor time, and each figure the median over rounds.

Promised is that the three parts together are at most a tenth of the pipeline's processor time per request. The
difference between the two servers is more than their sum: it has the clock, the router, the call context and the
context of the task besides, and in a server caches are colder than in a loop; it is printed, too.
"""

import argparse
import asyncio
import os
import signal
import statistics
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from benchmarks.hello_wire import BODY, Subject, serve_dispatching, start
from changeover.workers.generation.cell import CellWriter, SharedCell
from changeover.workers.generation.switch import Generation, Switch
from changeover.workers.protocol.registry import Registry
from changeover.workers.protocol.snapshot import EMPTY, Route
from changeover.workers.serving.contract import CallContext, Request, Response, Service
from changeover.workers.serving.dispatch import LiveDispatcher
from changeover.workers.serving.exchange import Exchange
from changeover.workers.serving.handlers import Handler, HandlerKind
from changeover.workers.serving.lease import LeaseKind, UnitSet
from changeover.workers.serving.pipeline import Pipeline
from changeover.workers.serving.router import ApplicationRouter, Target
from changeover.workers.serving.session import Upgrade

MOST = 0.10
CLIENTS = 32
REPEATS, CALLS = 5, 20_000
LEASED = LeaseKind.HTTP


class Hello(Service):
    """Greets."""

    async def __call__(self, request: Request, call: CallContext) -> Response:
        return Response.text(BODY.decode())


def pass_on(request: Request, call: CallContext) -> None:
    """An inbound handler that does nothing."""


def let_be(request: Request, response: Response, call: CallContext) -> None:
    """An outbound handler that does nothing."""


HANDLERS = (
    Handler("nothing:first", HandlerKind.INBOUND, pass_on),
    Handler("nothing:second", HandlerKind.INBOUND, pass_on),
    Handler("nothing:third", HandlerKind.OUTBOUND, let_be),
)


class Parts:
    """What requests pass, made as in a worker.

    Args:
        folder: For the file of the commit cell.

    Attributes:
        switch: Reads the cell.
        units: Leased by each request.
        pipeline: Three handlers and the service.
    """

    def __init__(self, folder: Path) -> None:
        self.pipeline = Pipeline("hello", HANDLERS, Hello())
        self.units = UnitSet(())
        writer = CellWriter.make(folder / "cell")
        self.switch = Switch(SharedCell(writer.fd), lambda old, new: None)
        router = ApplicationRouter([Target(Route("hello"), self.pipeline, self.units)])
        self.switch.prepared = Generation(EMPTY, Registry(epoch=1), router)
        writer.store(1)
        self.switch.activate()


class Direct:
    """Calls the service in a task, and nothing else."""

    def __init__(self) -> None:
        self._service = Hello()
        self._loop: asyncio.AbstractEventLoop | None = None

    def dispatch(self, exchange: Exchange) -> bool:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        asyncio.Task(self.answer(exchange), loop=self._loop)
        return True

    def dispatch_upgrade(self, upgrade: Upgrade) -> bool:
        return self.dispatch(upgrade)

    async def answer(self, exchange: Exchange) -> None:
        """Answer one exchange."""
        response = await self._service(exchange.request, None)  # type: ignore[arg-type]
        exchange.answer(response.status, response.headers.raw, BODY)


class Silent:
    """An exchange that sends nothing."""

    connected = True

    def __init__(self) -> None:
        self.request = Request("GET", "/hello")

    def answer(self, status: int, headers: object, body: bytes) -> None:
        """Nobody hears it."""


class Stopwatch:
    """Times the parts of one request after the other.

    Args:
        parts: What is timed.
    """

    def __init__(self, parts: Parts) -> None:
        self._switch, self._units, self._pipeline = parts.switch, parts.units, parts.pipeline
        self._direct = Direct()
        exchange: Any = Silent()
        self._exchange = exchange
        self._call = CallContext(1, "hello", 0, 0, self._units.lease(LEASED, 1, "/hello", 0), exchange)

    def costs(self) -> dict[str, float]:
        """Part -> microseconds of processor time per request."""
        loop = timed(self._nothing)
        lease = timed(self._hold) - loop
        return {
            "cell": timed(self._read) - loop,
            "lease": lease,
            "pipeline": timed(self._lead) - timed(self._ask) - lease,
        }

    def _nothing(self) -> None:
        pass

    def _read(self) -> None:
        self._switch.admit()

    def _hold(self) -> None:
        self._units.lease(LEASED, 1, "/hello", 0).release()

    def _lead(self) -> None:
        self._call.lease = self._units.lease(LEASED, 1, "/hello", 0)  # the pipeline lets it go
        _done(self._pipeline.run(self._exchange, self._call))

    def _ask(self) -> None:
        _done(self._direct.answer(self._exchange))


def timed(function: Callable[[], object]) -> float:
    """Microseconds of processor time of one call."""
    took = timeit.repeat(function, timer=time.process_time, number=CALLS, repeat=REPEATS)
    return statistics.median(took) / CALLS * 1e6


def _done(run: Coroutine[Any, Any, None]) -> None:
    try:
        run.send(None)
    except StopIteration:
        return
    raise AssertionError("bug: what waits for nothing did not end")


def main(arguments: list[str]) -> int:
    """Measure; the status is 1 when the parts are more than is promised."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.dispatch_cost", description=__doc__)
    options.add_argument("--quick", action="store_true", help="a short run: shows that it works, proves nothing")
    rounds = 2 if options.parse_args(arguments).quick else 9
    with tempfile.TemporaryDirectory(prefix="cell-") as folder:
        parts = Parts(Path(folder))
        subjects = [
            start("pipeline", lambda listener: serve_dispatching(listener, LiveDispatcher(parts.switch, worker=0))),
            start("service", lambda listener: serve_dispatching(listener, Direct())),
        ]
        stopwatch, costs = Stopwatch(parts), []
        try:
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
            for _ in range(rounds):
                for subject in subjects:
                    subject.measure(CLIENTS, 1.5)
                costs.append(stopwatch.costs())
        finally:
            for subject in subjects:
                os.kill(subject.pid, signal.SIGKILL)
                os.waitpid(subject.pid, 0)
        return report(subjects, {part: statistics.median(each[part] for each in costs) for part in costs[0]})


def report(subjects: list[Subject], parts: dict[str, float]) -> int:
    """Say what was found; 1 when it is more than is promised."""
    whole, service = (statistics.median(subject.costs) for subject in subjects)
    share = sum(parts.values()) / whole
    print(f"a native request costs {whole:.2f} us of processor time; its service called directly, {service:.2f} us")
    for name, cost in parts.items():
        print(f"{name:<10} {cost:6.2f} us  {cost / whole:6.1%}")
    print(f"{'together':<10} {sum(parts.values()):6.2f} us  {share:6.1%}  (must be <= {MOST:.0%})")
    more = whole - service
    print(f"{'all of it':<10} {more:6.2f} us  {more / whole:6.1%}  (what it takes beyond its service called directly)")
    return 0 if share <= MOST else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
