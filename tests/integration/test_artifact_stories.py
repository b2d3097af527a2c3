"""What plugins come as, in real workers: wheels, code that is compiled once, and content that only a roll replaces."""

import importlib
import shutil
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from changeover.server import Committed, NeedsRoll, Refused, Strategy, Unchanged
from changeover.supervisor.cli import main
from changeover.supervisor.control import SlotState
from tests.natives import MULTI, SINGLE, SUFFIX, compiled, needs_compiler
from tests.service import Story, kill, status_when

CODE = '''"""Says who and what it is."""
import os

from changeover.plugin import CallContext, Request, Response, service


@service
async def where(request: Request, call: CallContext) -> Response:
    return Response.text(f"{version} {{os.getpid()}} {{call.epoch}}")
'''

SINGLE_FILE = """# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "geo"
# version = "{version}"
# services = {{ where = {{ mount = "/where" }} }}
# ///
"""

LISTENING = """
import sys

from changeover.plugin import CallContext, Request, Response, service

compiled = []


def listen(event, arguments):
    if event == "compile" and str(arguments[1]).endswith("/rules.py"):
        compiled.append(arguments[1])


sys.addaudithook(listen)

from rules import RULES


@service
async def where(request: Request, call: CallContext) -> Response:
    return Response.text(f"{RULES} {len(compiled)}")
"""


def toml(version: str, more: str) -> str:
    return f'id = "geo"\nversion = "{version}"\n{more}services = {{ where = {{ mount = "/where" }} }}\n'


def wheel(story: Story, version: str) -> None:
    """Have the wheel of a version lie there, and no other."""
    for earlier in story.plugins.glob("*.whl"):
        earlier.unlink()
    with zipfile.ZipFile(story.plugins / f"geo-{version}-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("geo/plugin.toml", toml(version, ""))
        archive.writestr("geo/__init__.py", CODE.format(version=version))


def folder(story: Story, version: str) -> None:
    """Have a version lie there that only a roll replaces."""
    path = story.plugins / "geo"
    path.mkdir(exist_ok=True)
    (path / "plugin.toml").write_text(toml(version, 'strategy = "roll"\n'))
    (path / "geo.py").write_text(CODE.format(version=version))


async def test_a_wheel_is_served_and_swapped_in_the_workers_that_live(story: Story) -> None:
    wheel(story, "1.0")
    async with story.server(workers=1) as server:
        version, pid, _ = (await story.get(server, "/where")).words
        assert version == "1.0"
        wheel(story, "1.1")
        assert isinstance(await server.reload(), Committed)
        assert (await story.get(server, "/where")).words == ["1.1", pid, "2"]


async def test_a_plugin_that_asks_for_it_is_replaced_by_new_processes_without_closing_a_connection(
    story: Story,
) -> None:
    folder(story, "1.0")
    async with story.server(workers=1) as server:
        connection = await story.connect(server)
        _, pid, _ = (await connection.get("/where")).words
        folder(story, "1.1")
        outcome = await server.reload()
        assert isinstance(outcome, Committed)
        version, other, epoch = (await connection.get("/where")).words
        assert (version, epoch, other != pid) == ("1.1", "2", True)


async def test_workers_run_the_code_that_was_compiled_for_them(story: Story) -> None:
    folder = story.plugins / "geo"
    folder.mkdir()
    (folder / "plugin.toml").write_text(toml("1.0", ""))
    (folder / "rules.py").write_text("RULES = 1\n")
    (folder / "geo.py").write_text(LISTENING)
    async with story.server(workers=1) as server:
        assert (await story.get(server, "/where")).words == ["1", "0"]


NATIVE = '''"""Says who and what it is, and what its native module says."""
import os

import _geo

from changeover.plugin import CallContext, Request, Response, service


@service
async def where(request: Request, call: CallContext) -> Response:
    return Response.text(f"{_geo.VERSION} {os.getpid()} {call.epoch}")
'''


@needs_compiler
@pytest.mark.parametrize("source", [MULTI, SINGLE], ids=["multi-phase", "single-phase"])
async def test_a_native_module_is_loaded_out_of_the_store_and_replaced_by_a_roll(
    story: Story, tmp_path: Path, source: str
) -> None:
    path = story.plugins / "geo"
    path.mkdir()

    def write(version: str) -> None:
        (path / "plugin.toml").write_text('capabilities = ["native"]\n' + toml(version, ""))
        (path / "geo.py").write_text(NATIVE)
        (path / f"_geo{SUFFIX}").write_bytes(compiled(tmp_path, source, "_geo", version))

    write("1.0")
    config = story.folder / "changeover.toml"
    config.write_text('[plugins.geo]\ngrant = ["native"]\n')
    async with story.server(2, "--config", str(config)) as server:
        connection = await story.connect(server)
        version, pid, _ = (await connection.get("/where")).words
        assert version == "1.0"
        write("1.1")
        left = await server.reload(strategy=Strategy.SWAP)
        assert isinstance(left, NeedsRoll)
        assert left.changed == ("geo (needs a roll: native module _geo)",)
        outcome = await server.reload()
        assert isinstance(outcome, Committed)
        assert any(line.endswith("rolls: native module _geo)") for line in outcome.summary)
        version, other, epoch = (await connection.get("/where")).words
        assert (version, epoch, other != pid) == ("1.1", "2", True)


@pytest.mark.parametrize("distribution", ["msgspec", "setproctitle"])
def test_native_modules_of_others_load_out_of_a_plugin_too(tmp_path: Path, distribution: str) -> None:
    found = next(Path(importlib.import_module(distribution).__path__[0]).glob(f"*{SUFFIX}"))
    folder = tmp_path / "native"
    folder.mkdir()
    (folder / found.name).write_bytes(found.read_bytes())
    module = found.name.removesuffix(SUFFIX)
    manifest = 'id = "native"\nversion = "1.0"\ncapabilities = ["native"]\n'
    (folder / "plugin.toml").write_text(f'{manifest}extensions = {{ "x" = "native:{module}" }}\n')
    (folder / "native.py").write_text(f"import {module}\nassert {module}.__file__.endswith({found.name!r})\n")
    checked = CliRunner().invoke(main, ["plugin", "check", str(folder)])
    assert checked.exit_code == 0, checked.output


def single(story: Story, version: str) -> None:
    """Have a version lie there that is one file."""
    (story.plugins / "geo.py").write_text(SINGLE_FILE.format(version=version) + CODE.format(version=version))


async def test_an_older_epoch_that_is_damaged_in_the_store_is_told_how_to_come_back(story: Story) -> None:
    single(story, "1.0")
    async with story.server(workers=1) as server:
        [stored] = [path for path in (story.folder / "state").rglob("geo.py") if ".code" not in path.parts]
        single(story, "2.0")
        assert isinstance(await server.reload(), Committed)
        stored.chmod(0o600)
        stored.write_text(stored.read_text() + "x = 1\n")
        refused = await server.rollback()
        assert isinstance(refused, Refused)
        said = refused.refusals[0].refusal.summary if refused.refusals else refused.reason
        assert f"is not the content that its name says; remove {stored.parent} and reload: that stores it again" in said
        assert "A rollback cannot; for one, put these files back there first" in said
        stored.parent.chmod(0o700)
        shutil.rmtree(stored.parent)
        single(story, "1.0")
        assert isinstance(await server.reload(), Committed)
        assert (await story.get(server, "/where")).words[0] == "1.0"
        single(story, "2.0")
        assert isinstance(await server.reload(), Committed)
        assert isinstance(await server.rollback(to=1), Committed)
        assert (await story.get(server, "/where")).words[0] == "1.0"


async def test_what_serves_and_is_gone_from_the_store_is_stored_again_by_a_reload_for_the_slot_that_lacks_it(
    story: Story,
) -> None:
    single(story, "1.0")
    async with story.server(workers=2) as server:
        [stored] = [path for path in (story.folder / "state").rglob("geo.py") if ".code" not in path.parts]
        stored.parent.chmod(0o700)
        shutil.rmtree(stored.parent)
        kill((await server.status()).staff[0].pid)
        await status_when(server, lambda status: SlotState.BACKOFF in [slot.state for slot in status.slots])
        unchanged = await server.reload()
        assert isinstance(unchanged, Unchanged)
        assert unchanged.notes[0].startswith("stored again: plugin geo")
        assert stored.is_file()
        await status_when(server, lambda status: all(slot.state is SlotState.SERVING for slot in status.slots))
