"""Being the zygote: `python -P -m changeover.workers.zygote --socket FD --stacks FD`, executed by the supervisor."""

import argparse
import faulthandler
import os
import resource
import socket
import sys
from collections.abc import Sequence
from typing import NoReturn

from changeover.workers.protocol import forking
from changeover.workers.protocol.forking import STACKS_SIGNAL, Setup
from changeover.workers.runtime.birth import leave
from changeover.workers.runtime.forking import open_descriptors
from changeover.workers.runtime.landlock import write_only_below
from changeover.workers.runtime.privileges import give_up_new_privileges
from changeover.workers.zygote.zygote import Zygote


def main(arguments: Sequence[str]) -> NoReturn:
    """Run a zygote in this process until it leaves."""
    parser = argparse.ArgumentParser(prog="changeover.workers.zygote")
    parser.add_argument("--socket", type=int, required=True)
    parser.add_argument("--stacks", type=int, required=True)
    parser.add_argument("--no-new-privs", action="store_true")
    parser.add_argument("--limit", action="append", default=[])
    parser.add_argument("--write-below", action="append")
    parser.add_argument("--supervisor", type=int)
    parser.add_argument("--setup", type=int)
    given = parser.parse_args(arguments)
    for limit in given.limit:
        which, *soft_and_hard = map(int, limit.split(":"))
        resource.setrlimit(which, (soft_and_hard[0], soft_and_hard[1]))
    if given.no_new_privs:
        give_up_new_privileges()
    if given.write_below is not None:
        write_only_below(given.write_below)
    faulthandler.enable(file=given.stacks)
    faulthandler.register(STACKS_SIGNAL, file=given.stacks)
    inherited = frozenset(fd for fd in open_descriptors() if fd > 2) - {given.setup, given.supervisor}
    for fd in inherited:
        os.set_inheritable(fd, False)
    supervisor = None if given.supervisor is None else _socket(given.supervisor)
    zygote = Zygote(_socket(given.socket), supervisor, given.stacks, inherited)
    leave(zygote.run(None if given.setup is None else _read_setup(given.setup)))


def _socket(fd: int) -> socket.socket:
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    os.set_inheritable(fd, False)
    return sock


def _read_setup(fd: int) -> Setup:
    with os.fdopen(fd, "rb") as saved:
        saved.seek(0)
        setup = forking.decode_order(saved.read())
    if not isinstance(setup, Setup):
        raise AssertionError("bug: the saved order is no Setup")
    return setup


if __name__ == "__main__":
    main(sys.argv[1:])
