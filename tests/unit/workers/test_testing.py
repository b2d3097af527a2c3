"""The test kit for plugins: what its users rely on."""

import asyncio
import gc
import shutil
import threading
import zipfile
from pathlib import Path

import pytest

from changeover.testing import NotResources, SimulatedWorker, SwapRefused
from changeover.workers.plugins.manifest_reading import ManifestInvalid
from tests.natives import MULTI, SUFFIX, compiled, needs_compiler
from tests.plugin_folder import PluginFolder
from tests.waits import until_sync

HEAD = """
# /// script
# [tool.changeover]
# id = "shop"
# version = "1.0.0"
# services.shop = { mount = "/shop" }
# {0}
# ///
import asyncio, threading
from changeover.plugin import CallContext, Plugin, Request, Response, service
"""


def plugin(root: Path, code: str, manifest: str = "") -> Path:
    root.mkdir(exist_ok=True)
    file = root / "shop.py"
    file.write_text(HEAD.replace("# {0}\n", f"# {manifest}\n" if manifest else "") + code)
    return file


def says(word: str) -> str:
    return f"@service\ndef shop(request, call):\n    return Response.text('{word}')\n"


def test_a_swap_moves_between_two_requests_and_unchanged_content_keeps_its_instance(tmp_path: Path) -> None:
    code = (
        says("one")
        + """
COUNT = []
@service
def count(request, call):
    COUNT.append(1)
    return Response.text(str(len(COUNT)))
"""
    )
    both = 'services.count = { mount = "/count" }'
    file = plugin(tmp_path / "a", code, both)
    with SimulatedWorker(file) as worker:
        assert [worker.get("/count").text for _ in range(2)] == ["1", "2"]
        assert worker.swap(file) == 2
        assert worker.get("/count").text == "3"
        worker.swap(plugin(tmp_path / "b", code.replace("'one'", "'two'"), both))
        assert (worker.get("/count").text, worker.get("/shop").text, worker.epoch) == ("1", "two", 3)
        assert worker.get("/shop").epoch == 3
        assert worker.leaks() == []


def test_a_request_in_flight_finishes_on_the_version_it_began_with(tmp_path: Path) -> None:
    slow = """
GATE = threading.Event()
@service
async def shop(request, call):
    if request.path == "/open":
        GATE.set()
    else:
        threading.current_thread()
        while not GATE.is_set():
            await asyncio.sleep(0.001)
    return Response.text("old")
"""
    with SimulatedWorker(plugin(tmp_path / "a", slow)) as worker:
        answers: list[str] = []
        thread = threading.Thread(target=lambda: answers.append(worker.get("/shop").text))
        thread.start()
        until_sync(lambda: worker.in_flight == 1)
        worker.swap(plugin(tmp_path / "b", says("new")))
        assert worker.get("/shop").text == "new"
        assert answers == []
        module = next(each for each in gc.get_objects() if type(each) is dict and "GATE" in each and "shop" in each)
        module["GATE"].set()
        del module
        thread.join()
        assert answers == ["old"]
        assert worker.leaks() == []


def test_a_plugin_that_does_not_load_is_refused_on_entry_and_leaves_no_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    with pytest.raises(SwapRefused, match=r"plugin shop: KeyError: 'no' \(shop.py:\d+\)"):
        SimulatedWorker(plugin(tmp_path / "a", "raise KeyError('no')\n")).__enter__()
    until_sync(lambda: threading.active_count() <= before)


def test_what_is_no_plugin_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("x = 1")
    with pytest.raises(ManifestInvalid, match="no `# /// script` block"), SimulatedWorker(tmp_path / "x.py"):
        pass


async def test_it_works_inside_a_running_loop(tmp_path: Path) -> None:
    with SimulatedWorker(plugin(tmp_path / "a", says("yes"))) as worker:
        assert (await asyncio.to_thread(worker.get, "/shop")).text == "yes"
        assert worker.get("/shop").text == "yes"


def test_two_workers_at_once_do_not_share_modules(tmp_path: Path) -> None:
    file = plugin(
        tmp_path / "a",
        "N = []\n@service\ndef shop(request, call):\n    N.append(1)\n    return Response.text(str(N))\n",
    )
    with SimulatedWorker(file) as one, SimulatedWorker(file) as two:
        one.get("/shop")
        assert (one.get("/shop").text, two.get("/shop").text) == ("[1, 1]", "[1]")


def test_failures_that_come_too_late_are_listed(tmp_path: Path) -> None:
    code = says("x") + "class Own(Plugin[None]):\n    def on_unload(self):\n        raise ValueError('late')\n"
    code = code.replace("@service\ndef shop(", "def shop(")
    late = (
        plugin(tmp_path / "a", code, 'plugin = "shop:Own"')
        .read_text()
        .replace('mount = "/shop"', 'entry = "shop:shop", mount = "/shop"')
    )
    (tmp_path / "a" / "shop.py").write_text(late)
    with SimulatedWorker(tmp_path / "a" / "shop.py") as worker:
        worker.swap(plugin(tmp_path / "b", says("y")))
        assert worker.leaks() == []
        assert [(each.hook, each.summary) for each in worker.degraded] == [("on_unload", "ValueError: late")]


def test_a_response_that_breaks_off_is_an_error_and_one_that_streams_is_whole(tmp_path: Path) -> None:
    code = """
async def pieces(request):
    yield b"one"
    if request.path.endswith("broken"):
        raise ValueError("broken")
    yield b"two"

@service
def shop(request, call):
    return Response(pieces(request))
"""
    with SimulatedWorker(plugin(tmp_path / "a", code)) as worker:
        assert worker.get("/shop").content == b"onetwo"
        with pytest.raises(ConnectionError, match="broke off"):
            worker.get("/shop/broken")


def test_configuration_reaches_the_plugin_and_mistakes_name_their_path(tmp_path: Path) -> None:
    code = """
import msgspec
class Config(msgspec.Struct, forbid_unknown_fields=True):
    word: str
class Own(Plugin[Config]):
    @service
    def shop(self, request, call):
        return Response.text(self.config.word)
"""
    root = tmp_path / "shop"
    root.mkdir()
    (root / "plugin.toml").write_text(
        'id = "shop"\nversion = "1.0"\nplugin = "shop:Own"\nconfig = "shop:Config"\nservices = { shop = "/shop" }\n'
    )
    (root / "shop.py").write_text("from changeover.plugin import *\n" + code)
    with SimulatedWorker(root, config={"word": "hello"}) as worker:
        assert worker.get("/shop").text == "hello"
        with pytest.raises(SwapRefused, match=r"Expected `str`, got `int` - at `\$\.word`"):
            worker.swap(root, config={"word": 3})
        worker.swap(root, config={"word": "bye"})
        assert worker.get("/shop").text == "bye"
        worker.swap(root)
        assert worker.get("/shop").text == "bye"


LIMITER = Path(__file__).parents[3] / "examples" / "14-rate-limiter" / "plugins" / "limiter"


def test_a_swap_takes_the_state_over_and_changed_resources_need_no_new_code(tmp_path: Path) -> None:
    newer = Path(shutil.copytree(LIMITER, tmp_path / "newer"))
    (newer / "plugin.toml").write_text((LIMITER / "plugin.toml").read_text().replace("1.0.0", "1.1.0"))
    wider = Path(shutil.copytree(newer, tmp_path / "wider"))
    (wider / "limits.toml").write_text("per_minute = 4\n")
    with SimulatedWorker(LIMITER) as worker:
        assert [worker.get("/").status for _ in range(4)] == [200, 200, 200, 429]
        worker.swap(newer)
        assert worker.get("/").status == 429
        worker.swap(wider)
        assert [worker.get("/").status for _ in range(2)] == [200, 429]
        assert worker.leaks() == []
        (wider / "limits.toml").write_text("per_minute = ?\n")
        with pytest.raises(SwapRefused, match=r"on_resources: .*limits\.toml is no TOML"):
            worker.swap(wider)


RATES = """
from collections.abc import Mapping

from changeover.plugin import CallContext, LoadContext, Plugin, Request, Resource, Response, service


class Rates(Plugin[None]):
    def __init__(self, config: None) -> None:
        super().__init__(config)
        self.loads = 0

    async def on_load(self, ctx: LoadContext) -> None:
        self.loads += 1
        self.take(ctx.resource("rates"))

    def on_resources(self, changed: Mapping[str, Resource]) -> None:
        self.take(changed["rates"])

    def take(self, resource: Resource) -> None:
        self.value = int(resource.text())

    @service
    async def rate(self, request: Request, call: CallContext) -> Response:
        return Response.text(f"{self.value} after {self.loads} load")
"""


@pytest.fixture
def rates(tmp_path: Path) -> Path:
    more = 'plugin = "rates:Rates"\nservices = { rate = "/rate" }\n[resources]\nrates = { path = "rates/*.txt" }\n'
    folder = PluginFolder(tmp_path / "plugins").folder("rates", "1.0", more, rates=RATES)
    lay(folder, "rates/eur.txt", "3")
    return folder


def lay(folder: Path, name: str, text: str) -> Path:
    """Write a file into a folder, and give the folder back."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder


def test_changed_resources_are_taken_without_new_code(rates: Path, tmp_path: Path) -> None:
    with SimulatedWorker(rates) as worker:
        assert worker.get("/rate").text == "3 after 1 load"
        assert worker.resources(lay(tmp_path / "newer", "rates/eur.txt", "4")) == 2
        assert worker.get("/rate").text == "4 after 1 load"
        assert worker.resources(lay(tmp_path / "newer", "rates/eur.txt", "5")) == 3
        assert worker.get("/rate").text == "5 after 1 load"


def test_resources_that_a_plugin_does_not_take_are_refused_and_the_old_ones_stay(rates: Path, tmp_path: Path) -> None:
    with SimulatedWorker(rates) as worker:
        with pytest.raises(SwapRefused, match="on_resources: ValueError"):
            worker.resources(lay(tmp_path / "newer", "rates/eur.txt", "many"))
        assert worker.get("/rate").text == "3 after 1 load"


@pytest.mark.parametrize("name", ["rates.py", "eur.txt"])
def test_what_is_no_resource_is_not_laid_over_the_plugin(rates: Path, tmp_path: Path, name: str) -> None:
    newer = lay(lay(tmp_path / "newer", "rates/eur.txt", "4"), name, "0")
    with SimulatedWorker(rates) as worker:
        with pytest.raises(NotResources, match=r"no resources of rates 1\.0 \(rates = rates/\*\.txt\)"):
            worker.resources(newer)
        assert (worker.epoch, worker.get("/rate").text) == (1, "3 after 1 load")


def wheel(path: Path, version: str, code: str) -> Path:
    """A wheel with one package, in which its manifest lies."""
    path.mkdir()
    manifest = f'id = "shop"\nversion = "{version}"\nservices = {{ shop = "/shop" }}\n'
    with zipfile.ZipFile(path / f"shop-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr("shop/plugin.toml", manifest)
        archive.writestr("shop/__init__.py", f"from changeover.plugin import Response, service\n{code}")
        archive.writestr(f"shop-{version}.dist-info/METADATA", "Name: shop\n")
    return path / f"shop-{version}-py3-none-any.whl"


def test_wheels_are_loaded_and_swapped_like_their_folders(tmp_path: Path) -> None:
    with SimulatedWorker(wheel(tmp_path / "a", "1.0", says("one"))) as worker:
        assert worker.get("/shop").text == "one"
        assert worker.swap(wheel(tmp_path / "b", "1.1", says("two"))) == 2
        assert worker.get("/shop").text == "two"
        broken = tmp_path / "broken-1-py3-none-any.whl"
        broken.write_bytes(b"half")
        with pytest.raises(ManifestInvalid, match="no whole wheel"):
            worker.swap(broken)
        assert worker.leaks() == []


VENDORED = """
import lib
from lib.version import VERSION

def versions():
    from lib import version
    return lib.__name__, VERSION, version.VERSION
"""


def vendoring(folder: PluginFolder, plugin: str, version: str, requires: str = "") -> Path:
    """A plugin that offers at `libs` what it has of a library of its own."""
    offered = f'extensions = {{ "libs" = "{plugin}:versions" }}\n'
    more = f'{requires}packages = "vendor"\ndependencies = ["lib=={version}"]\n{offered}'
    path = folder.folder(plugin, "1.0", more, **{plugin: VENDORED})
    lay(path, "vendor/lib/__init__.py", "")
    lay(path, "vendor/lib/version.py", f"VERSION = '{version}'\n")
    return lay(path, f"vendor/lib-{version}.dist-info/METADATA", "Name: lib\n")


def test_two_plugins_have_their_own_versions_of_one_library(tmp_path: Path) -> None:
    folder = PluginFolder(tmp_path / "plugins")
    rates = vendoring(folder, "rates", "1.0")
    with SimulatedWorker(vendoring(folder, "shop", "2.0", 'requires = { rates = "" }\n'), beside=[rates]) as worker:
        one, two = (offered() for offered in worker.extension("libs"))
        assert (one[1:], two[1:]) == (("1.0", "1.0"), ("2.0", "2.0"))
        assert (".rates." in one[0], ".shop." in two[0]) == (True, True)
        worker.swap(vendoring(folder, "shop", "2.1", 'requires = { rates = "" }\n'))
        assert [offered()[1] for offered in worker.extension("libs")] == ["1.0", "2.1"]
        assert worker.extension("nothing") == ()
        del one, two
        assert worker.leaks() == []


@needs_compiler
def test_another_native_module_cannot_be_swapped_in(tmp_path: Path) -> None:
    file = tmp_path / "plugins" / "native_shop" / f"_shop{SUFFIX}"
    code = "import _shop\ndef version():\n    return _shop.VERSION\n"
    more = 'extensions = { "version" = "native_shop:version" }\n'
    path = PluginFolder(tmp_path / "plugins").folder("native_shop", "1.0", more, native_shop=code)
    file.write_bytes(compiled(tmp_path, MULTI, "_shop", "1.0"))
    with SimulatedWorker(path) as worker:
        file.write_bytes(compiled(tmp_path, MULTI, "_shop", "1.1"))
        with pytest.raises(SwapRefused, match="native module _shop of native_shop is in this process already"):
            worker.swap(path)
        assert [offered() for offered in worker.extension("version")] == ["1.0"]


def test_it_leads_and_a_swap_migrates_what_the_old_version_left_or_is_refused(tmp_path: Path) -> None:
    code = """
from pathlib import Path
TABLE = Path("{table}")
class Ledger(Plugin[None]):
    def on_activate(self): TABLE.with_name("leads").touch()
    def migrate(self, old):
        TABLE.write_text(f"{{TABLE.read_text()}} {{old.version}}->{version}")
        if "{version}" == "3.0.0":
            raise ValueError("no such column")
    def unmigrate(self, old): TABLE.write_text(TABLE.read_text().rpartition(" ")[0])
    @service
    def shop(self, request, call): return Response.text("{version}")
"""

    def ledger(version: str) -> Path:
        manifest = 'plugin = "shop:Ledger"\n# singleton = true'
        file = plugin(tmp_path / version, code.format(table=table, version=version), manifest)
        file.write_text(file.read_text().replace('version = "1.0.0"', f'version = "{version}"'))
        return file

    table = tmp_path / "table"
    table.write_text("t")
    with SimulatedWorker(ledger("1.0.0")) as worker:
        assert table.with_name("leads").exists()
        worker.swap(ledger("2.0.0"))
        assert table.read_text() == "t 1.0.0->2.0.0"
        with pytest.raises(SwapRefused, match="no such column"):
            worker.swap(ledger("3.0.0"))
        assert (table.read_text(), worker.get("/shop").text) == ("t 1.0.0->2.0.0", "2.0.0")
        assert worker.leaks() == []


def test_what_a_plugin_asks_for_has_to_be_granted_in_a_test_as_in_a_server(tmp_path: Path) -> None:
    asking = plugin(tmp_path, says("hello"), 'capabilities = ["net"]')
    refused = r'shop asks for net, which is not granted; write `grant = \["net"\]` in SimulatedWorker\(...\)'
    with pytest.raises(SwapRefused, match=refused), SimulatedWorker(asking):
        pass
    with SimulatedWorker(asking, grant=["net"]) as worker:
        assert worker.get("/shop").text == "hello"


def test_a_rehearsal_tells_what_a_server_would_refuse_and_changes_nothing(tmp_path: Path) -> None:
    serving = plugin(tmp_path / "a", says("one"))
    tested = 'self_test = "shop:tried"'
    with SimulatedWorker(serving, deadline=2.0) as worker:
        for number, (code, manifest, said) in enumerate(
            (
                (says("two"), "", ""),
                (says("two") + "def tried(): pass\n", tested, ""),
                (says("two") + "def tried(): assert 1 > 2, 'no'\n", tested, "AssertionError: no"),
                (says("two") + "import os\nos._exit(0)\n", "", "ended its process with status 0"),
                (says("two") + "import socket\nsocket.create_connection(('127.0.0.1', 9))\n", "", "capability net"),
                (says("two"), 'capabilities = ["net"]', "asks for net, which is not granted"),
            )
        ):
            refusal = worker.preflight(plugin(tmp_path / f"b{number}", code, manifest))
            assert (refusal is None) == (not said), refusal
            if refusal is not None:
                assert (refusal.unit, said in refusal.summary) == ("plugin shop", True), refusal
        assert (worker.get("/shop").text, worker.epoch) == ("one", 1)
        assert worker.swap(plugin(tmp_path / "c", says("three"))) == 2
