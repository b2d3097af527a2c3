"""What the wire costs: requests per second on one core, beside a bare parser loop and uvicorn.

Usage: python -m benchmarks.hello_wire [--seconds S] [--rounds N] [--clients N]

Four servers, each in a process of its own on the first core, are asked in turns over keep-alive
connections by a client on the last core, so that noise hits all alike:

    bare      httptools on uvloop, a fixed answer, nothing checked: what cannot be undercut
    wire      `workers.http` with a dispatcher that answers at once
    wire+task the same with a task per request, as an application needs
    uvicorn   a raw ASGI application, its access log off

Printed per server: the median of requests per second and of the server's CPU time per request,
and the ratio to uvicorn and to bare by CPU time, which the client's own speed does not touch.
"""

import argparse
import asyncio
import os
import selectors
import signal
import socket
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import uvloop

from benchmarks.speed.floor import Bare
from changeover.workers.channel.connections import Connections
from changeover.workers.channel.limits import Limits
from changeover.workers.http.initializer import HttpInitializer
from changeover.workers.serving.exchange import Exchange
from changeover.workers.serving.session import Dispatchers, Upgrade

REQUEST = (
    b"GET /hello HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: bench\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n\r\n"
)
BODY = b"Hello, world!"
FIELDS = [(b"content-type", b"text/plain"), (b"content-length", b"13")]
TICKS = os.sysconf("SC_CLK_TCK")


def answer(exchange: Exchange) -> None:
    exchange.start(200, FIELDS)
    exchange.write(BODY)
    exchange.end()


class AtOnce:
    """Answers within dispatch."""

    def dispatch(self, exchange: Exchange) -> bool:
        answer(exchange)
        return True

    def dispatch_upgrade(self, upgrade: Upgrade) -> bool:
        return self.dispatch(upgrade)


class InTask:
    """Answers in a task per request."""

    def dispatch(self, exchange: Exchange) -> bool:
        asyncio.get_running_loop().create_task(self._answer(exchange))
        return True

    def dispatch_upgrade(self, upgrade: Upgrade) -> bool:
        return self.dispatch(upgrade)

    async def _answer(self, exchange: Exchange) -> None:
        answer(exchange)


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application."""
    await send({"type": "http.response.start", "status": 200, "headers": FIELDS})
    await send({"type": "http.response.body", "body": BODY})


async def serve_bare(listener: socket.socket) -> None:
    await asyncio.get_running_loop().create_server(Bare, sock=listener)
    await asyncio.Event().wait()


async def serve_dispatching(listener: socket.socket, dispatcher: Dispatchers) -> None:
    """Lead every request to `dispatcher`."""
    connections = Connections(HttpInitializer(dispatcher, Limits()), Limits())
    loop = asyncio.get_running_loop()
    while True:
        accepted, _ = await loop.sock_accept(listener)
        connections.accept(accepted, "")


async def serve_wire(listener: socket.socket) -> None:
    await serve_dispatching(listener, AtOnce())


async def serve_wire_with_tasks(listener: socket.socket) -> None:
    await serve_dispatching(listener, InTask())


async def serve_uvicorn(listener: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(
        hello, http="httptools", lifespan="off", access_log=False, log_level="error", server_header=False
    )
    await uvicorn.Server(config).serve([listener])


Serve = Callable[[socket.socket], Any]
SERVERS: dict[str, Serve] = {
    "bare": serve_bare,
    "wire": serve_wire,
    "wire+task": serve_wire_with_tasks,
    "uvicorn": serve_uvicorn,
}


@dataclass
class Subject:
    """A server under load, and what was measured of it."""

    name: str
    pid: int
    port: int
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def processor_time(self) -> float:
        """Seconds of CPU that it has used."""
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def measure(self, clients: int, seconds: float) -> None:
        before = self.processor_time()
        count = load(self.port, clients, seconds)
        self.rates.append(count / seconds)
        self.costs.append((self.processor_time() - before) / count * 1e6)


def start(name: str, serve: Serve) -> Subject:
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    listener.setblocking(False)
    pid = os.fork()
    if pid == 0:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(listener))
        os._exit(0)
    port: int = listener.getsockname()[1]
    listener.close()
    return Subject(name, pid, port)


def load(port: int, clients: int, seconds: float) -> int:
    """Ask as fast as answers come; how many came."""
    with selectors.EpollSelector() as selector:
        sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(clients)]
        for client in sockets:
            client.setblocking(False)
            selector.register(client, selectors.EVENT_READ)
            client.send(REQUEST)
        count, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            for key, _ in selector.select(1.0):
                client = key.fileobj  # type: ignore[assignment]
                if client.recv(65536).endswith(BODY):
                    client.send(REQUEST)
                    count += 1
    for client in sockets:
        client.close()
    return count


def report(subjects: list[Subject]) -> None:
    costs = {subject.name: statistics.median(subject.costs) for subject in subjects}
    print(f"{'server':<10} {'req/s':>9} {'CPU us/req':>11} {'x uvicorn':>10} {'x bare':>7}")
    for subject in subjects:
        cost = costs[subject.name]
        print(
            f"{subject.name:<10} {statistics.median(subject.rates):>9,.0f} {cost:>11.2f} "
            f"{costs['uvicorn'] / cost:>10.2f} {costs['bare'] / cost:>7.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=32)
    options = parser.parse_args()
    subjects = [start(name, serve) for name, serve in SERVERS.items()]
    try:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        for subject in subjects:
            load(subject.port, 1, 0.3)
        for _ in range(options.rounds):
            for subject in subjects:
                subject.measure(options.clients, options.seconds)
        report(subjects)
    finally:
        for subject in subjects:
            os.kill(subject.pid, signal.SIGKILL)
            os.waitpid(subject.pid, 0)


if __name__ == "__main__":
    main()
