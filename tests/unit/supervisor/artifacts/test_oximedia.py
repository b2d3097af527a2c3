"""The tests that the model of change detection has, under their names, on what a scan finds.

There, a manager is told of plugins and of their bytes; here a folder is the list, what serves is the
baseline, and only a commit moves it. Its three tests of a hash of its own are not among them.
"""

import os
import threading
from pathlib import Path

import pytest

from changeover.supervisor.artifacts.folder import read_folder
from changeover.supervisor.artifacts.scanner import Past, Scanner
from changeover.supervisor.config.load import check
from changeover.supervisor.config.sources import Source
from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.outcome import Candidate, CutoverRequest, NothingChanged, ScanRefused, ScanResult
from changeover.testing import SimulatedWorker
from changeover.workers.plugins.artifact import UnreadableArtifact, digest_of, read_files
from changeover.workers.protocol.reload import ON_CHANGE, read_reload
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot
from tests.plugin_folder import PluginFolder
from tests.waits import until_sync

HUP = CutoverRequest(Origin(Trigger.HUP))
WATCH = CutoverRequest(Origin(Trigger.WATCH), policy=ON_CHANGE)


class Place:
    """A folder of plugins beside an application, and what serves of it."""

    def __init__(self, root: Path, reload: str = "on-change") -> None:
        self.root = root
        self.plugins = PluginFolder(root / "plugins")
        (root / "shop.py").write_text("app = None")
        (root / "changeover.toml").write_text(
            f'[app]\ntarget = "shop:app"\n[plugins]\ndir = "plugins"\nreload = "{reload}"\n'
        )
        source = Source(folder=root)
        self.scanner = Scanner(check(source).required(), lambda: check(source), root / "store", [root / "state"])
        self.serving: Snapshot | None = None

    def write(self, plugin: str, version: str = "1.0.0", code: str = "") -> Path:
        return self.plugins.single(plugin, version, code=code)

    def scan(self, request: CutoverRequest = HUP) -> ScanResult:
        return self.scanner.scan(request, self.serving.epoch + 1 if self.serving else 1, self.serving, Past())

    def commit(self) -> dict[str, PluginSpec]:
        """Serve what lies there; the plugins of it."""
        result = self.scan()
        assert isinstance(result, Candidate), result
        self.serving = result.snapshot
        return {unit.key.ref.name: unit for unit in self.serving.units if isinstance(unit, PluginSpec)}

    def changed(self, request: CutoverRequest = HUP) -> list[str]:
        """The plugins that would be taken."""
        result = self.scan(request)
        if isinstance(result, NothingChanged):
            return []
        assert isinstance(result, Candidate), result
        epoch = result.snapshot.epoch
        return [unit.key.ref.name for unit in result.snapshot.units if unit.key.since == epoch]

    def refused(self, name: str) -> str:
        """Why a plugin that is asked for by name is not taken."""
        result = self.scan(CutoverRequest(Origin(Trigger.API), only=(name,)))
        assert isinstance(result, ScanRefused), result
        return result.refusals[0].refusal.summary


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_manager_new_empty(place: Place) -> None:
    assert place.commit() == {}


def test_register_loaded(place: Place) -> None:
    place.write("codec-a")
    assert [*place.commit()] == ["codec-a"]


def test_watch_hash(place: Place) -> None:
    file = place.write("plug", code="# binary data\n")
    assert place.commit()["plug"].artifact == digest_of(read_files(file))


def test_no_changes(place: Place) -> None:
    file = place.write("p", code="# same content\n")
    place.commit()
    os.utime(file, (1, 1))
    assert place.changed() == []


def test_change_detected(place: Place) -> None:
    place.write("p", code="# v1\n")
    place.commit()
    place.write("p", code="# v2\n")
    assert place.changed() == ["p"]
    assert place.changed() == ["p"], "looking moved the baseline"


def test_update_hash_clears_change(place: Place) -> None:
    place.write("p", code="# v1\n")
    place.commit()
    place.write("p", code="# v2\n")
    place.commit()
    assert place.changed() == []


def test_reload_plugin(place: Place) -> None:
    place.write("p", "1.0.0")
    place.commit()
    place.write("p", "1.1.0")
    assert place.commit()["p"].version == "1.1.0"


def test_reload_unknown(place: Place) -> None:
    place.write("host")
    place.commit()
    assert place.refused("ghost") == (
        "--only: there is no plugin or pipeline ghost; there are: app, host; did you mean `host`?"
    )


def test_unload_plugin(place: Place) -> None:
    file = place.write("p")
    place.write("q")
    assert [*place.commit()] == ["p", "q"]
    file.unlink()
    assert [*place.commit()] == ["q"]


def test_unload_unknown(place: Place) -> None:
    file = place.write("ghost")
    place.write("q")
    place.commit()
    file.unlink()
    place.commit()
    assert place.refused("ghost").startswith("--only: there is no plugin or pipeline ghost")


def test_auto_reload_disabled(tmp_path: Path) -> None:
    place = Place(tmp_path, "disabled")
    place.write("p", "1.0.0")
    place.commit()
    place.write("p", "2.0.0")
    assert place.changed(WATCH) == []
    assert place.scan(HUP) == NothingChanged(("not taken: p (disabled, changed on disk)",))


def test_auto_reload_on_change(place: Place) -> None:
    place.write("p", "1.0.0")
    place.commit()
    place.write("p", "2.0.0")
    assert place.changed(WATCH) == ["p"]


def test_scheduled_not_due(tmp_path: Path) -> None:
    place = Place(tmp_path, "every 1000s")
    place.write("p", "1.0.0")
    place.commit()
    place.write("p", "2.0.0")
    assert place.changed(WATCH) == [], "taken before its time"
    due = CutoverRequest(Origin(Trigger.SCHEDULE), policy=read_reload("every 1000s"))
    assert place.changed(due) == ["p"]


MANIFEST = 'services = { wait = "/wait", now = "/now" }\n'
SERVING = """
import asyncio
from pathlib import Path
from changeover.plugin import Response, service
@service
async def wait(request, call):
    async with asyncio.timeout(10):
        while not Path("{1}").exists():
            await asyncio.sleep(0.001)
    return Response.text("{0}")
@service
async def now(request, call):
    return Response.text("{0}")
"""


def test_graceful_reload_ok(tmp_path: Path) -> None:
    """A request that is under way is waited for: it ends on the version on which it began."""
    go = tmp_path / "go"
    old, new = PluginFolder(tmp_path / "old"), PluginFolder(tmp_path / "new")
    told: list[str] = []
    with SimulatedWorker(old.single("p", "1.0.0", MANIFEST, SERVING.format("1.0.0", go))) as worker:
        asking = threading.Thread(target=lambda: told.append(worker.get("/wait").text))
        asking.start()
        until_sync(lambda: worker.in_flight, "the request is under way")
        worker.swap(new.single("p", "1.2.0", MANIFEST, SERVING.format("1.2.0", go)))
        assert (worker.get("/now").text, told) == ("1.2.0", [])
        go.touch()
        asking.join(10)
        assert told == ["1.0.0"]


def test_graceful_reload_not_found(tmp_path: Path) -> None:
    file = PluginFolder(tmp_path).single("p", "1.0.0", MANIFEST, SERVING.format("1.0.0", tmp_path))
    with SimulatedWorker(file) as worker:
        with pytest.raises(UnreadableArtifact, match="ghost"):
            worker.swap(tmp_path / "ghost.py")
        assert worker.get("/now").text == "1.0.0"


def test_watch_entry_path(place: Place) -> None:
    file = place.write("plug")
    found = read_folder(place.plugins.path).plugins["plug"]
    assert (found.manifest.id, found.path, found.digest) == ("plug", str(file), digest_of(read_files(file)))


def test_multiple_watchers_selective(place: Place) -> None:
    place.write("a", code="# v1a\n")
    place.write("b", code="# v1b\n")
    place.commit()
    place.write("a", code="# v2a\n")
    place.write("b", code="# v1b\n")
    assert place.changed() == ["a"]
