"""What nobody asked for is called by the changed files that it takes, and by no others."""

import msgspec

from changeover.supervisor.artifacts.attributing import label
from changeover.supervisor.artifacts.folder import Found, Listing
from changeover.supervisor.artifacts.reach import Reach
from changeover.supervisor.config.settings import App, Plugin, Plugins, Settings
from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.outcome import CutoverRequest
from changeover.workers.plugins.manifest import Manifest
from changeover.workers.protocol.reload import ON_CHANGE, Reload, When
from changeover.workers.protocol.snapshot import ApplicationSpec, PluginSpec, Snapshot, UnitKey, UnitKind, UnitRef

SETTINGS = Settings(
    app=App("main:app", dir="/srv/app"),
    plugins=Plugins(dir="/srv/plugins", reload="on-change", entries={"b": Plugin(reload="every 60s")}),
)
PATHS = {
    "/srv/plugins/a.py": "plugins/a.py",
    "/srv/plugins/folder/rules.py": "plugins/folder/rules.py",
    "/srv/plugins/c.py": "plugins/c.py",
    "/srv/app/main.py": "main.py",
    "/srv/changeover.toml": "changeover.toml",
}
LISTING = Listing(
    {
        plugin: Found(f"/srv/plugins/{lies}", "", Manifest(plugin, "1"), {}, "")
        for plugin, lies in (("a", "a.py"), ("b", "folder"), ("c", "c.py"))
    }
)
WATCH = CutoverRequest(Origin(Trigger.WATCH, label="all"), policy=ON_CHANGE, seen=PATHS)
SCHEDULE = msgspec.structs.replace(WATCH, policy=Reload(When.EVERY, 60.0))


def serving(**digests: str) -> Snapshot:
    """Plugins a, b, c and the application, each with a content of its own."""
    contents = {"a": "1", "b": "1", "c": "1", **digests}
    app = contents.pop("app", "1")
    plugins = [
        PluginSpec(UnitKey(UnitRef(UnitKind.PLUGIN, name), digest, 1), "1", digest) for name, digest in contents.items()
    ]
    application = ApplicationSpec(UnitKey(UnitRef(UnitKind.APPLICATION, "app"), app, 1), "main:app", "/srv/app")
    return Snapshot(1, "", (*plugins, application))


def labelled(
    request: CutoverRequest, made: Snapshot, current: Snapshot | None = None, listing: Listing = LISTING
) -> str:
    current = current or serving()
    return label(request, SETTINGS, listing, Reach(request, SETTINGS, current), current, made)


def test_only_files_of_what_is_taken_are_named() -> None:
    assert labelled(SCHEDULE, serving(b="2")) == "plugins/folder/rules.py"
    assert labelled(WATCH, serving(a="2")) == "plugins/a.py, changeover.toml"
    assert labelled(WATCH, serving(app="2")) == "main.py, changeover.toml"


def test_a_plugin_whose_file_is_gone_is_known_by_its_name() -> None:
    without = msgspec.structs.replace(serving(), units=serving().units[1:])
    assert labelled(SCHEDULE, without, listing=Listing()) == "plugins/a.py"


def test_who_asks_in_words_is_called_so() -> None:
    asked = msgspec.structs.replace(WATCH, policy=None, seen={})
    assert labelled(asked, serving(a="2")) == "all"
