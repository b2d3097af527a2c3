"""Who serves on is asked, and believed as far as what is held fits."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from changeover.supervisor.process.estate import Estate
from changeover.supervisor.process.finding import Search, find
from changeover.supervisor.process.listeners import number_of
from changeover.workers.generation.cell import CellWriter
from changeover.workers.link.packets import receive_packet, send_packet
from changeover.workers.protocol import belongings
from changeover.workers.protocol.belongings import Belongings, Listener, Told
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.runtime import counts


@pytest.fixture
def cell(tmp_path: Path) -> Iterator[CellWriter]:
    cell = CellWriter.make(tmp_path / "epoch.cell")
    yield cell
    cell.close()


@contextmanager
def answering(runtime: Path, cell: int, page: int, sock: socket.socket) -> Iterator[None]:
    """A worker that tells the next supervisor what it holds: this process."""
    told = Told(WorkerId(1, 0, 1), os.getpid(), 1, "journal", Belongings((Listener("here", 0, "here"),), 0, 0))

    def answer(asked: socket.socket) -> None:
        supervisor, _ = asked.accept()
        with supervisor:
            receive_packet(supervisor, 64)
            pidfd, stacks = os.pidfd_open(os.getpid()), os.memfd_create("stacks")
            send_packet(supervisor, belongings.encode(told), (pidfd, stacks, cell, page, sock.fileno()))
            os.close(pidfd)
            os.close(stacks)

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asked:
        asked.bind(str(runtime / "worker-1.sock"))
        asked.listen()
        thread = threading.Thread(target=answer, args=(asked,))
        thread.start()
        yield
        thread.join(10)


def found(runtime: Path, cell: int, page: int, sock: socket.socket) -> Estate:
    with answering(runtime, cell, page, sock):
        return find(Search(runtime, os.geteuid(), {}))


def test_what_fits_is_taken(tmp_path: Path, cell: CellWriter) -> None:
    page = counts.create()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        estate = found(tmp_path, cell.fd, page, listening)
        assert estate.holders == {number_of(listening.fileno()): {1}}
        assert [worker.told.worker for worker in estate.workers] == [WorkerId(1, 0, 1)]
        taken = socket.socket(fileno=os.dup(estate.sockets["here"]["here"]))
        assert taken.getsockname() == listening.getsockname()
        taken.close()
    estate.close()
    os.close(page)


@pytest.mark.parametrize("amiss", ["a socket that does not listen", "a page that is cut off", "another cell"])
def test_a_worker_with_something_that_does_not_fit_is_not_believed(
    tmp_path: Path, cell: CellWriter, amiss: str
) -> None:
    page, shorter = counts.create(), os.memfd_create("shorter")
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as silent:
        other = CellWriter.make(tmp_path / "other")
        estate = found(
            tmp_path,
            other.fd if amiss == "another cell" else cell.fd,
            shorter if amiss == "a page that is cut off" else page,
            silent if amiss == "a socket that does not listen" else listening,
        )
        other.close()
    assert estate.empty
    assert not estate.sockets
    os.close(page)
    os.close(shorter)


def test_a_page_of_counts_cannot_be_cut_off() -> None:
    page = counts.create()
    with pytest.raises(PermissionError):
        os.ftruncate(page, 0)
    os.close(page)
