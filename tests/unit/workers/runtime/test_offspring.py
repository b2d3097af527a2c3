"""Which descriptors a forked child lets go of: all of the worker's, and none of the application's own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from changeover.workers.runtime.offspring import LocalAddress

FORK = """
import json, os, socket, sys
from changeover.workers.runtime.offspring import Offspring
from changeover.workers.protocol.belongings import Listener

folder = sys.argv[1]
held = {}

def tcp():
    listening = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listening.getsockname())
    accepted, _ = listening.accept()
    return listening, accepted, client

def unix(path, kind=socket.SOCK_STREAM):
    listening = socket.socket(socket.AF_UNIX, kind)
    listening.bind(path)
    listening.listen()
    client = socket.socket(socket.AF_UNIX, kind)
    client.connect(path)
    accepted, _ = listening.accept()
    return listening, accepted, client

os.mkdir(f"{folder}/runtime")
for name, sockets in {
    "web": tcp(), "own": tcp(), "path": unix(f"{folder}/web.sock"), "other": unix(f"{folder}/own.sock"),
    "link": unix(f"{folder}/runtime/reports.sock"), "handover": unix(f"{folder}/runtime/w.sock", socket.SOCK_SEQPACKET),
    "pair": (*socket.socketpair(), socket.socket(type=socket.SOCK_DGRAM)),
    "removed": tcp(), "gone": unix(f"{folder}/gone.sock"),
}.items():
    held |= dict(zip((f"{name} listening", f"{name} accepted", f"{name} client"), sockets))
ours = [Listener("", held[f"{name} listening"].fileno()) for name in ("web", "path")]
offspring = Offspring(ours, f"{folder}/runtime")
offspring.install()
for name in ("removed", "gone"):
    offspring.note(held[f"{name} accepted"])  # another worker accepted it, at an address that is none any more
    held.pop(f"{name} listening").close()
reading, writing = os.pipe()
if os.fork() == 0:
    kept = [name for name, sock in held.items() if os.readlink(f"/proc/self/fd/{sock.fileno()}") != os.devnull]
    os.write(writing, json.dumps(kept).encode())
    os._exit(0)
os.wait()
print(os.read(reading, 65536).decode())
assert held["web client"].send(b"x") == 1 and held["web accepted"].recv(1) == b"x"
"""


def test_a_child_lets_go_of_what_is_the_workers_and_keeps_what_is_the_applications(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(tmp_path)], capture_output=True, text=True, timeout=30, check=True
    )
    kept = set(json.loads(done.stdout))
    ends = ("listening", "accepted", "client")
    assert kept == {
        "web client",
        "removed client",
        *(f"{name} {end}" for name in ("own", "other", "pair") for end in ends),
    }


@pytest.mark.parametrize(
    ("listening", "accepted", "covers"),
    [
        (LocalAddress(2, "127.0.0.1", 80), LocalAddress(2, "127.0.0.1", 80), True),
        (LocalAddress(2, "0.0.0.0", 80), LocalAddress(2, "10.0.0.7", 80), True),
        (LocalAddress(10, "::", 80), LocalAddress(10, "::ffff:10.0.0.7", 80), True),
        (LocalAddress(2, "127.0.0.1", 80), LocalAddress(2, "10.0.0.7", 80), False),
        (LocalAddress(2, "0.0.0.0", 80), LocalAddress(2, "10.0.0.7", 81), False),
        (LocalAddress(2, "0.0.0.0", 80), LocalAddress(10, "::1", 80), False),
    ],
)
def test_a_connection_belongs_to_the_address_at_which_it_came_in(
    listening: LocalAddress, accepted: LocalAddress, covers: bool
) -> None:
    assert listening.covers(accepted) is covers
