"""What plugin authors receive gives what it promises, or says why not."""

from pathlib import Path

import msgspec
import pytest

from changeover.plugin import LoadContext, Plugin, PluginVersion, Resource, ResourceUnusable, wsgi
from changeover.workers.plugins.api import overrides


@pytest.fixture
def resource(tmp_path: Path) -> Resource:
    (tmp_path / "a.toml").write_text("gold = 20\n")
    (tmp_path / "b.toml").write_text("silver = 10\n")
    return Resource("pricing", "rules", (tmp_path / "a.toml", tmp_path / "b.toml"))


def test_several_files_are_merged_as_toml_and_no_single_one_is_guessed(resource: Resource) -> None:
    assert resource.toml() == {"gold": 20, "silver": 10}
    with pytest.raises(ResourceUnusable, match=r"resource 'rules' of plugin pricing: 2 files match; use `paths`"):
        resource.text()


def test_one_file_is_path_bytes_and_text(resource: Resource) -> None:
    one = Resource("pricing", "rules", resource.paths[:1])
    assert (one.bytes(), one.text(), one.path.name) == (b"gold = 20\n", "gold = 20\n", "a.toml")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"silver = 1\ngold = 2", "b.toml defines 'gold' a second time"), (b"=", "no TOML"), (b"\xff", "not UTF-8")],
)
def test_files_that_cannot_be_used_are_named(resource: Resource, content: bytes, reason: str) -> None:
    resource.paths[1].write_bytes(content)
    with pytest.raises(ResourceUnusable, match=reason):
        resource.toml()


def test_a_resource_that_the_manifest_lacks_is_answered_with_those_it_has(resource: Resource) -> None:
    context = LoadContext("worker", PluginVersion("pricing", "1.0", "d"), 7, {"rules": resource})
    assert context.resource("rules") is resource
    with pytest.raises(ResourceUnusable, match="which declares: rules"):
        context.resource("rulez")


def test_hooks_that_are_not_overridden_do_nothing_and_on_reload_is_on_load() -> None:
    class Config(msgspec.Struct):
        currency: str = "EUR"

    class Own(Plugin[Config]):
        def on_load(self, ctx: LoadContext) -> None:
            self.epoch = ctx.epoch

    plugin = Own(Config("CHF"))
    version = PluginVersion("pricing", "1.0", "d")
    plugin.on_reload(LoadContext("worker", version, 7, {}), version)
    assert (plugin.epoch, plugin.config.currency) == (7, "CHF")
    assert [hook() for hook in (plugin.on_activate, plugin.on_deactivate, plugin.on_unload)] == [None] * 3
    assert [plugin.export_state(), plugin.import_state(version, b""), plugin.merge_state(version, b"", b"")] == [
        None
    ] * 3
    assert plugin.on_resources({}) is None


def test_a_hook_is_wanted_where_the_class_or_one_that_it_extends_has_its_own() -> None:
    class Counting(Plugin[None]):
        def export_state(self) -> bytes:
            return b"7"

    class Further(Counting):
        pass

    assert [overrides(Further(None), hook) for hook in ("export_state", "merge_state")] == [True, False]


def test_a_wsgi_service_needs_a_thread() -> None:
    with pytest.raises(ValueError, match="threads=0 cannot run anything"):
        wsgi("shop:app", threads=0)
