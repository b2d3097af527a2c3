"""What plugins do and were not granted is refused where a candidate is rehearsed, and nothing else is."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent, indent

import pytest

from changeover.workers.plugins.capabilities import NAMES
from changeover.workers.protocol.refusal import Fault, Stage
from tests.plugin_folder import PluginFolder
from tests.watched import Asked, Seen, seen

HEAD = """
import asyncio, os, socket, subprocess, threading
from changeover.plugin import Plugin
KEPT = {kept!r}
"""

LIBRARY = """import ctypes, socket
ctypes.CDLL("libc.so.6")
socket.socket().bind(("127.0.0.1", 0))
PROCESS = ctypes.CDLL(None)


def pid():
    return PROCESS.getpid()
"""

NEEDS: dict[str, tuple[str, str]] = {
    "connects": ("net", 'socket.create_connection(("127.0.0.1", 9), 1)'),
    "listens": ("net", 'socket.socket().bind(("127.0.0.1", 0))'),
    "listens without an address": ("net", "socket.socket().listen()"),
    "sends a datagram": ("net", 'socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9))'),
    "asks for a name": ("net", 'socket.getaddrinfo("localhost", 80)'),
    "connects to a Unix socket": ("net", 'socket.socket(socket.AF_UNIX).connect("/nowhere")'),
    "lets a library connect": ("net", 'import urllib.request; urllib.request.urlopen("http://127.0.0.1:9", timeout=1)'),
    "lets the loop connect": ("net", 'await asyncio.open_connection("127.0.0.1", 9)'),
    "lets the loop listen": ("net", 'await asyncio.start_server(print, "127.0.0.1", 0)'),
    "lets the loop listen without an address": ("net", "await asyncio.start_server(print, sock=socket.socket())"),
    "lets the loop connect to a Unix socket": ("net", 'await asyncio.open_unix_connection("/nowhere")'),
    "lets the loop send datagrams": (
        "net",
        "await asyncio.get_running_loop().create_datagram_endpoint(asyncio.DatagramProtocol, ('127.0.0.1', 0))",
    ),
    "lets the loop ask for a name": ("net", "await asyncio.get_running_loop().getaddrinfo('localhost', 80)"),
    "connects in a task": ("net", "await asyncio.create_task(asyncio.open_connection('127.0.0.1', 9))"),
    "executes a program": ("exec", 'subprocess.run(["true"])'),
    "executes a shell": ("exec", 'os.system("true")'),
    "forks": ("exec", "os.fork() or os._exit(0)"),
    "spawns a process": (
        "exec",
        'import multiprocessing as m; m.get_context("spawn").Process(target=os.getpid).start()',
    ),
    "lets the loop execute a program": ("exec", 'await (await asyncio.create_subprocess_exec("true")).wait()'),
    "lets the loop execute a shell": ("exec", 'await (await asyncio.create_subprocess_shell("true")).wait()'),
    "loads a library": ("native", 'import ctypes; ctypes.CDLL("libc.so.6")'),
    "calls the C library": ("native", "import ctypes; ctypes.CDLL(None).getpid()"),
    "calls the interpreter": ("native", "import ctypes; ctypes.pythonapi.Py_IsInitialized()"),
    "writes a file": ("write", 'open(f"{KEPT}/a", "w").close()'),
    "appends to a file": ("write", 'open(f"{KEPT}/a", "ab").close()'),
    "opens a descriptor": ("write", 'os.close(os.open(f"{KEPT}/a", os.O_WRONLY | os.O_CREAT))'),
    "makes a folder": ("write", 'os.makedirs(f"{KEPT}/b", exist_ok=True)'),
    "removes a file": ("write", 'os.path.exists(f"{KEPT}/gone") and None or os.remove(f"{KEPT}/gone")'),
    "renames a file": ("write", 'os.rename(f"{KEPT}/gone", f"{KEPT}/away")'),
    "moves a file out of the temporary folder": (
        "write",
        'import tempfile; os.rename(tempfile.mkstemp()[1], f"{KEPT}/moved")',
    ),
    "removes a link to a temporary file": ("write", 'os.remove(f"{KEPT}/link")'),
    "moves a link to a temporary file": (
        "write",
        'import tempfile; os.rename(f"{KEPT}/linked", f"{tempfile.gettempdir()}/linked")',
    ),
    "opens a database": ("write", 'import sqlite3; sqlite3.connect(f"{KEPT}/db").close()'),
}
"""What a plugin does -> the capability that it needs, and its code in an `async` on_load."""

FREE = {
    "reads files": "open(__file__).read(); os.listdir(KEPT)",
    "keeps temporary files": """
        import tempfile
        with tempfile.TemporaryDirectory() as folder:
            os.mkdir(f"{folder}/a")
            open(f"{folder}/a/b", "w").close()
            os.rename(f"{folder}/a/b", f"{folder}/c")
        tempfile.NamedTemporaryFile().close()
        """,
    "makes and removes temporary links to what it keeps": """
        import tempfile
        with tempfile.TemporaryDirectory() as folder:
            os.symlink(KEPT, f"{folder}/a")
            os.rename(f"{folder}/a", f"{folder}/b")
            os.remove(f"{folder}/b")
        """,
    "writes to its descriptors by their names": """
        ends = os.pipe()
        for name in ("/dev/stderr", f"/dev/fd/{ends[1]}", f"/proc/self/fd/{ends[1]}"):
            os.close(os.open(name, os.O_WRONLY))
        for end in ends: os.close(end)
        """,
    "writes to what everybody may write to": 'open("/dev/null", "w").close(); print("hello", flush=True)',
    "has sockets with itself": 'a, b = socket.socketpair(); a.send(b"x"); a.sendmsg([b"y"]); b.recv(9)',
    "starts threads and tasks": """
        thread = threading.Thread(target=lambda: None)
        thread.start()
        thread.join()
        await asyncio.create_task(asyncio.sleep(0))
        await asyncio.to_thread(open(__file__).read)
        """,
    "imports what is native and installed": "import zmq, ctypes; ctypes.pythonapi",
    "imports a library that does more": "import outsider",
    "calls a library that calls the C library": "import outsider; outsider.pid()",
    "has a database in memory": 'import sqlite3; sqlite3.connect(":memory:").close()',
    "is large, so that another process compiles it": f"'''{'long ' * 20_000}'''",
}
"""What any plugin may do, and its code in an `async` on_load."""


def body(code: str) -> str:
    return indent(dedent(code).strip(), " " * 8)


class Cases:
    """Plugins written for a case each, loaded in one process."""

    def __init__(self, folder: Path) -> None:
        self.plugins = PluginFolder(folder / "plugins")
        self.kept = folder / "kept"
        self.kept.mkdir()
        self.installed = folder / "installed"
        self.installed.mkdir()
        (self.installed / "outsider.py").write_text(LIBRARY)
        self.asked: dict[str, Asked] = {}
        self.temporary = folder / "temporary"
        for name in ("link", "linked"):
            (self.kept / name).symlink_to(self.temporary / "file")

    def add(self, name: str, code: str, *granted: str, more: str = 'plugin = "{id}:Own"', **files: str) -> None:
        plugin = f"case{len(self.asked)}"
        module = {plugin: HEAD.format(kept=str(self.kept)) + code, **files}
        path = self.plugins.folder(plugin, more=more.format(id=plugin), **module)
        self.asked[name] = Asked(str(path), granted)

    def hook(self, name: str, code: str, *granted: str) -> None:
        self.add(name, f"class Own(Plugin):\n    async def on_load(self, ctx):\n{body(code)}\n", *granted)

    def seen(self) -> Mapping[str, Seen]:
        return dict(zip(self.asked, seen(self.asked.values(), self.temporary, self.installed), strict=True))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Seen]:
    cases = Cases(tmp_path_factory.mktemp("watched"))
    for name, (capability, code) in NEEDS.items():
        cases.hook(name, code)
        cases.hook(f"{name}, other", code, *(each for each in NAMES if each != capability))
        cases.hook(f"{name}, granted", code, capability)
    for name, code in FREE.items():
        cases.hook(name, code)
    connect = 'socket.create_connection(("127.0.0.1", 9), 1)'
    cases.add("at import", f"{connect}\nclass Own(Plugin): pass\n")
    own = "class Own(Plugin):\n    def {}:\n        {}\n"
    cases.add("in the constructor", own.format("__init__(self, config)", f"super().__init__(config); {connect}"))
    cases.add("in the thread beside the loop", own.format("on_load(self, ctx)", connect))
    cases.add("in a self-test", f"def tried():\n    {connect}\n", more='self_test = "{id}:tried"')
    cases.add("in a module of its own", "import inner\nclass Own(Plugin): pass\n", inner=f"import socket\n{connect}\n")
    cases.hook("it goes on without", f"try:\n    {connect}\nexcept OSError:\n    pass")
    started = own.format(
        "on_load(self, ctx)", "thread = threading.Thread(target=self.run); thread.start(); thread.join()"
    )
    cases.add("in a thread of its own", f"{started}    def run(self):\n        {connect}\n")
    opened = "asyncio.open_connection('127.0.0.1', 9)"
    cases.hook("in a library's task", f"await asyncio.wait({{asyncio.create_task(asyncio.wait_for({opened}, 1))}})")
    return cases.seen()


@pytest.mark.parametrize("name", NEEDS)
def test_what_a_plugin_was_not_granted_is_refused_with_the_words_to_write(
    loaded: Mapping[str, Seen], name: str
) -> None:
    for refusal in (loaded[name].refusal, loaded[f"{name}, other"].refusal):
        assert refusal is not None
        assert refusal.fault is Fault.CAPABILITY
        assert f"takes the capability {NEEDS[name][0]}, which case" in refusal.summary
        assert f'grant = ["{NEEDS[name][0]}"]' in refusal.summary
        assert refusal.unit.startswith("plugin case")
        assert refusal.hook == "on_load"
        assert refusal.where.startswith("case")


@pytest.mark.parametrize("name", NEEDS)
def test_what_it_was_granted_it_may_do(loaded: Mapping[str, Seen], name: str) -> None:
    found = loaded[f"{name}, granted"]
    assert found.refused == ()
    assert found.refusal is None or "capability" not in found.refusal.summary


@pytest.mark.parametrize("name", FREE)
def test_what_needs_no_capability_is_left_alone(loaded: Mapping[str, Seen], name: str) -> None:
    assert loaded[name] == Seen()


@pytest.mark.parametrize(
    "name",
    ["at import", "in the constructor", "in the thread beside the loop", "in a self-test", "in a module of its own"],
)
def test_it_is_refused_wherever_its_code_does_it(loaded: Mapping[str, Seen], name: str) -> None:
    refusal = loaded[name].refusal
    assert refusal is not None
    assert refusal.fault is Fault.CAPABILITY
    assert refusal.source.startswith(("socket.create_connection", "super().__init__(config); socket.create_connection"))


@pytest.mark.parametrize("name", ["it goes on without", "in a thread of its own", "in a library's task"])
def test_it_is_known_where_its_code_does_not_fail_by_it(loaded: Mapping[str, Seen], name: str) -> None:
    refusal = loaded[name].refusal
    assert refusal is not None
    assert loaded[name].refused == (refusal,)
    assert (refusal.stage, refusal.fault) == (Stage.PREFLIGHT, Fault.CAPABILITY)
    assert "takes the capability net" in refusal.summary
