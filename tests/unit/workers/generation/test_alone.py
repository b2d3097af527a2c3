"""Where no server runs the code that asks, plugins are loaded from the folder that a server would take them from."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from changeover.plugin import PluginNotLoaded, PluginsUnknown, extension_point
from changeover.workers.generation import alone
from changeover.workers.generation.solo import RequirementUnmet
from changeover.workers.generation.whereabouts import ConfigurationUnreadable, Whereabouts, find_plugins
from changeover.workers.plugins.manifest_reading import ManifestInvalid
from changeover.workers.serving.offering import here
from tests.bench import LOG
from tests.plugin_folder import PluginFolder
from tests.site_packages import SitePackages
from tests.unit.supervisor.artifacts.test_wheel import packed


class Price(Protocol):
    """What is offered."""

    def __call__(self) -> str: ...


prices = extension_point("shop.pricing", Price)

CODE = """
import msgspec
from changeover.plugin import Plugin, extension_point
from tests.bench import LOG
rates = extension_point("shop.rates", type(len))
class Config(msgspec.Struct):
    currency: str = "EUR"
class Own(Plugin[Config]):
    async def on_load(self, ctx):
        self.rates = [rate() for rate in rates()]
        LOG.append(f"load {ctx.stage}")
    def on_activate(self): LOG.append("activate")
    def on_unload(self): LOG.append("unload")
    def pricing(self): return f"{self.config.currency} {self.rates}"
"""
OWN = 'plugin = "pricing:Own"\nconfig = "pricing:Config"\nextensions = ["shop.pricing"]\nrequires = { rates = "" }'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PluginFolder]:
    """A folder of plugins in a process that is no worker's; what was loaded ends with the test."""
    LOG.clear()
    here.leave()
    monkeypatch.delenv("CHANGEOVER_PLUGINS_DIR", raising=False)
    monkeypatch.delenv("CHANGEOVER_CONFIG", raising=False)
    (tmp_path / "deep" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "below")
    yield PluginFolder(tmp_path / "plugins")
    alone.forget()


def shop(folder: PluginFolder) -> None:
    folder.folder("pricing", more=OWN, pricing=CODE)
    folder.single("rates", more='extensions = { "shop.rates" = "rates:rate" }', code="def rate(): return 7\n")
    folder.single("other", code="raise AssertionError('it offers nothing and is not loaded')\n")
    (folder.path / "notes.py").write_text("# no plugin\n")


def test_the_nearest_folder_is_loaded_once_and_ended_with_the_process(folder: PluginFolder) -> None:
    shop(folder)
    assert [price() for price in prices()] == ["EUR [7]"]
    assert [price() for price in prices()] == ["EUR [7]"]
    assert LOG == ["load worker"]


def test_what_was_loaded_ends_with_its_hooks(folder: PluginFolder) -> None:
    shop(folder)
    assert prices()
    alone.forget()
    alone.forget()
    assert LOG == ["load worker", "unload"]
    assert prices()
    assert LOG[2:] == ["load worker"]


def test_the_configuration_says_where_plugins_are_and_what_they_are_told(
    folder: PluginFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop(folder)
    folder.path.rename(tmp_path / "deep" / "ours")
    (tmp_path / "changeover.toml").write_text(
        '[plugins]\ndir = "deep/ours"\n[plugins.pricing]\nmount = "/p"\nconfig = { currency = "NOK" }\n'
    )
    assert [price() for price in prices()] == ["NOK [7]"]
    monkeypatch.setenv("CHANGEOVER_PLUGINS_DIR", "")
    assert prices() == ()


def test_a_variable_names_the_folder(folder: PluginFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    shop(folder)
    (folder.path.parent / "deep" / "plugins").mkdir()
    assert prices() == ()
    monkeypatch.setenv("CHANGEOVER_PLUGINS_DIR", "../../plugins")
    assert [price() for price in prices()] == ["EUR [7]"]


def test_a_plugin_that_does_not_load_is_told_and_tried_again(folder: PluginFolder) -> None:
    shop(folder)
    broken = CODE.replace(
        "async def on_load(self, ctx):", "async def on_load(self, ctx):\n        raise OSError('no db')"
    )
    folder.folder("pricing", more=OWN, pricing=broken)
    with pytest.raises(PluginNotLoaded, match="plugin pricing on_load: OSError: no db"):
        prices()
    folder.folder("pricing", more=OWN, pricing=CODE)
    assert [price() for price in prices()] == ["EUR [7]"]


def test_a_manifest_that_is_wrong_and_a_requirement_that_is_missing_are_told(folder: PluginFolder) -> None:
    folder.folder("pricing", more=OWN, pricing=CODE)
    with pytest.raises(RequirementUnmet, match="pricing requires rates"):
        prices()
    folder.single("rates", version="none")
    with pytest.raises(ManifestInvalid, match=r"rates\.py"):
        prices()


def test_nobody_who_knows_where_plugins_are_is_an_error_and_not_nothing(tmp_path: Path) -> None:
    with pytest.raises(PluginsUnknown, match=r"CHANGEOVER_PLUGINS_DIR names the folder of plugins \(empty for none\)"):
        find_plugins({}, tmp_path)
    assert find_plugins({"CHANGEOVER_PLUGINS_DIR": ""}, tmp_path) == Whereabouts(None)


def test_a_configuration_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    config = tmp_path / "other.toml"
    variables = {"CHANGEOVER_CONFIG": "other.toml"}
    config.write_text("name = 'shop'\n")
    assert find_plugins(variables, tmp_path) == Whereabouts(None)
    for text, reason in (
        ("plugins = 'x'\n", "is no table"),
        ("[plugins", "at end of document"),
        ("[plugins.pricing]\nconfig = 3\n", r"\[plugins.pricing\]: Expected `object`"),
    ):
        config.write_text(text)
        with pytest.raises(ConfigurationUnreadable, match=rf"other\.toml: .*{reason}"):
            find_plugins(variables, tmp_path)


OFFERS = "from changeover.plugin import CallContext\ndef price(): return '{0}'\n"


def test_wheels_and_installed_plugins_are_loaded_too(
    folder: PluginFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = 'id = "rates"\nversion = "1"\nextensions = { "shop.pricing" = "rates:price" }\n'
    archive = packed({"rates/plugin.toml": toml, "rates/__init__.py": OFFERS.format("wheel")})
    (folder.path / "rates-1-py3-none-any.whl").write_bytes(archive)
    (folder.path / ".hidden.whl").write_bytes(b"half")
    assert [price() for price in prices()] == ["wheel"]
    alone.forget()
    site = SitePackages(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(site.path))
    monkeypatch.syspath_prepend(site.path)
    more = 'extensions = { "shop.pricing" = "alone_plugin:price" }\n'
    site.plugin("alone", "1.0", more, __init__=OFFERS.format("installed"))
    assert sorted(price() for price in prices()) == ["installed", "wheel"]
    monkeypatch.setenv("CHANGEOVER_PLUGINS_DIR", "")
    assert [price() for price in prices()] == ["installed"]


def test_an_id_that_two_of_them_have_is_told_with_both(
    folder: PluginFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = SitePackages(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(site.path))
    site.plugin("rates", "1.0")
    folder.single("rates")
    with pytest.raises(alone.IdTaken, match=r"rates is the id of .*rates\.py and of installed rates-plugin==1\.0"):
        prices()
