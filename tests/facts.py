"""A plugin that says what kind of process its worker is."""

from pathlib import Path

import msgspec

from tests.service import Connection

PLUGIN = """# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "facts"
# version = "{version}"
# services = {{ facts = {{ mount = "/facts" }} }}
# ///
import os
import resource
from pathlib import Path

from changeover.plugin import CallContext, Request, Response, service


@service
async def facts(request: Request, call: CallContext) -> Response:
    umask = os.umask(0)
    os.umask(umask)
    lines = Path("/proc/self/status").read_text().splitlines()
    return Response.json({{
        "version": "{version}", "pid": os.getpid(), "uids": os.getresuid(), "gids": os.getresgid(),
        "groups": sorted(os.getgroups()), "umask": umask, "environment": dict(os.environ),
        "status": dict(line.split(":", 1) for line in lines),
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE), "core": resource.getrlimit(resource.RLIMIT_CORE),
    }})
"""


class Facts(msgspec.Struct, frozen=True):
    """What a worker says of itself."""

    version: str
    pid: int
    uids: tuple[int, int, int]
    gids: tuple[int, int, int]
    groups: tuple[int, ...]
    umask: int
    environment: dict[str, str]
    status: dict[str, str]
    nofile: tuple[int, int]
    core: tuple[int, int]


def write(plugins: Path, version: str) -> None:
    """Write a version of the plugin."""
    (plugins / "facts.py").write_text(PLUGIN.format(version=version))


async def ask(address: str) -> Facts:
    """What the worker that answers at `address` says."""
    connection = await Connection.open(address)
    try:
        answer = await connection.get("/facts")
    finally:
        connection.close()
    assert answer.status == 200, answer
    return msgspec.json.decode(answer.body, type=Facts)
