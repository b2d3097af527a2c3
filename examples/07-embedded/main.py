"""Start a server from a program, swap a plugin, and read the outcome as a value."""

import asyncio
import tempfile
import urllib.request
from pathlib import Path

from changeover.server import Committed, Outcome, Refused, Server

PLUGIN = """\
# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "greet"
# version = "{version}"
# services = {{ greet = {{ mount = "/" }} }}
# ///
from changeover.plugin import CallContext, Request, Response, service


@service
async def greet(request: Request, call: CallContext) -> Response:
    return Response.text({greeting})
"""


def write(plugins: Path, version: str, greeting: str) -> None:
    (plugins / "greet.py").write_text(PLUGIN.format(version=version, greeting=greeting))


def get(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/", timeout=10) as answer:
        return str(answer.read().decode())


def word(outcome: Outcome) -> str:
    match outcome:
        case Committed(serving=epoch, workers=workers):
            return f"epoch {epoch} serves in {workers} workers"
        case Refused(serving=epoch, refusals=(first, *_)):
            return f"refused, epoch {epoch} serves on: {first.refusal.summary}"
        case _:
            return repr(outcome)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        plugins = Path(folder)
        write(plugins, "1.0.0", "'hello'")
        async with Server(plugins=plugins, workers=2) as server:
            print(await asyncio.to_thread(get, server.addresses[0]))
            write(plugins, "2.0.0", "'good day'")
            print(word(await server.reload(label="politer", if_epoch=1)))
            print(await asyncio.to_thread(get, server.addresses[0]))
            write(plugins, "3.0.0", "'good day' +")
            print(word(await server.reload()))
            print(await asyncio.to_thread(get, server.addresses[0]))


if __name__ == "__main__":
    asyncio.run(main())
