"""Plugins whose code does harm, at import and in each hook that runs before a commit."""

from collections.abc import Iterator
from textwrap import dedent, indent

from tests.hostile_plugins.offer import HOSTILE, SERVING, VICTIM, Offer

HEAD = """import asyncio, ctypes, os, socket, subprocess, sys, threading, time
import msgspec
from changeover.plugin import Plugin, Service, Response

def misbehave():
"""

AT_ONCE = {
    "raises": 'raise RuntimeError("hostile")',
    "raises what no handler catches": 'raise KeyboardInterrupt("hostile")',
    "sys.exit": "sys.exit(3)",
    "os._exit": "os._exit(0)",
    "SIGSEGV": "ctypes.string_at(0)",
    "aborts": "os.abort()",
    "kills its process group": 'os.kill(0, 9)\nraise RuntimeError("nobody died")',
    "closes every descriptor": 'os.closerange(0, 4096)\nraise RuntimeError("all closed")',
    "allocates 10 GB": "kept = [bytearray(1 << 30) for _ in range(10)]",
    "endless recursion": "misbehave()",
    "starts threads without end": "while True: threading.Thread(target=time.sleep, args=(600,), daemon=True).start()",
    "writes into descriptors that are not its own": """
        for descriptor in range(3, 256):
            try:
                os.write(descriptor, b"\\xff" * 4096)
            except OSError:
                pass
        raise RuntimeError("scribbled")
        """,
}
"""What is over at once, or soon."""
IN_TIME = {
    "endless loop": "while True: pass",
    "hangs": "time.sleep(3600)",
    "fork bomb": (
        "import _ctypes\n"
        "fork = ctypes.CFUNCTYPE(ctypes.c_int)(_ctypes.dlsym(ctypes.pythonapi._handle, 'fork'))\n"
        "while True: fork()"
    ),
    "floods stdout": 'while True: print("flood " * 1000, flush=True)',
    "floods stderr without a line": 'while True: os.write(2, b"x" * 65536)',
}
"""What only a deadline ends."""
ASKED_FOR = {
    "connects": 'socket.create_connection(("127.0.0.1", 9), 1)',
    "listens": 'socket.socket().bind(("127.0.0.1", 0))',
    "executes": 'subprocess.run(["true"])',
    "forks": "os.fork() or os._exit(0)",
    "loads machine code": 'ctypes.CDLL("libc.so.6")',
    "writes": 'open("/var/tmp/hostile", "w").close()',
    "connects and hides it": 'try: socket.create_connection(("127.0.0.1", 9), 1)\nexcept OSError: pass',
}
"""What needs a capability."""

MADE = f'id = "{HOSTILE}"\nversion = "1.0"\n'
CLASS = f'{MADE}plugin = "{HOSTILE}:Hostile"\n'
NEXT = f'id = "{VICTIM}"\nversion = "1.1"\nplugin = "victim:Hostile"\nstate = ">=1"\n'

PLACES: dict[str, tuple[str, str]] = {
    "at import": (f'{MADE}[services]\nat = {{ entry = "{HOSTILE}:misbehave" }}\n', "misbehave()\n"),
    "in the configuration": (
        f'{CLASS}config = "{HOSTILE}:Config"\n',
        """
        class Config(msgspec.Struct):
            def __post_init__(self): misbehave()

        class Hostile(Plugin): pass
        """,
    ),
    "in the constructor": (
        CLASS,
        """
        class Hostile(Plugin):
            def __init__(self, config):
                super().__init__(config)
                misbehave()
        """,
    ),
    "in on_load": (CLASS, "class Hostile(Plugin):\n    def on_load(self, ctx): misbehave()\n"),
    "in on_load, on the loop": (CLASS, "class Hostile(Plugin):\n    async def on_load(self, ctx): misbehave()\n"),
    "in a task": (
        CLASS,
        """
        class Hostile(Plugin):
            async def on_load(self, ctx):
                await asyncio.create_task(self.work())

            async def work(self): misbehave()
        """,
    ),
    "in a service": (
        f'{MADE}[services]\nat = {{ entry = "{HOSTILE}:At", mount = "/hostile" }}\n',
        """
        class At(Service):
            def __init__(self): misbehave()

            async def __call__(self, request, call): return Response.text("here")
        """,
    ),
    "in its self-test": (f'{MADE}self_test = "{HOSTILE}:misbehave"\n', ""),
    "in on_reload": (NEXT, "class Hostile(Plugin):\n    def on_reload(self, ctx, old): misbehave()\n"),
    "in import_state": (NEXT, "class Hostile(Plugin):\n    def import_state(self, old, state): misbehave()\n"),
}
"""Where it is done -> the manifest that leads there, and the code."""

FEW = ("raises", "sys.exit", "os._exit", "SIGSEGV")
"""What stands for all of its kind in places that are much like others."""
ALIKE = ("in the configuration", "in the constructor", "in a task", "in a service")
SLOW = ("at import", "in on_load", "in on_load, on the loop", "in its self-test", "in on_reload", "in import_state")
"""Where it is tried what only a deadline ends."""
WATCHED = ("in on_load, on the loop", "in its self-test")
IN_RULES = ("raises", "os._exit", "SIGSEGV", "endless loop", "hangs", "fork bomb")
"""What rules do that an engine executes."""


def misdeeds() -> Iterator[Offer]:
    """What is over at once in every place, and the rest in some."""
    for place in PLACES:
        for kind in FEW if place in ALIKE else AT_ONCE:
            yield _offer(kind, place, AT_ONCE[kind])
    for place in SLOW:
        for kind, code in IN_TIME.items():
            yield _offer(kind, place, code)
    for place in WATCHED:
        for kind, code in ASKED_FOR.items():
            yield _offer(f"{kind} without having asked", place, code)
    for kind in IN_RULES:
        code = (AT_ONCE | IN_TIME)[kind]
        yield Offer(kind, "in on_resources", VICTIM, SERVING | {"rules.txt": _module(code, "misbehave()")})


def _offer(kind: str, place: str, code: str) -> Offer:
    manifest, body = PLACES[place]
    plugin = VICTIM if manifest == NEXT else HOSTILE
    files = {"plugin.toml": manifest.encode(), f"{plugin}.py": _module(code, body)}
    return Offer(kind, place, plugin, SERVING | files if plugin == VICTIM else files)


def _module(code: str, body: str) -> bytes:
    return f"{HEAD}{indent(dedent(code).strip(), '    ')}\n\n{dedent(body).strip()}\n".encode()
