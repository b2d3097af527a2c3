"""A plugin that is installed is loaded from the environment, if that is what was taken."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.workers.pinned.announced import AnnouncedDiffers
from changeover.workers.plugins.artifact import digest_of, read_files
from changeover.workers.plugins.installed import InstalledModules, as_taken
from changeover.workers.serving.attribution import UnitWork
from tests.site_packages import SitePackages

TAKEN = "geo-plugin==1.2"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SitePackages]:
    """A folder on the import path; what was imported from it is forgotten with the test."""
    made = SitePackages(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(made.path))
    monkeypatch.syspath_prepend(made.path)
    yield made
    for name in [name for name in sys.modules if name.partition(".")[0] == "geo_plugin"]:
        del sys.modules[name]


def test_what_was_taken_is_found_whatever_is_no_content_beside_it(site: SitePackages) -> None:
    folder = site.plugin("geo", "1.2", where="X = 1")
    digest = digest_of(read_files(folder))
    (folder / "plugin.sig.json").write_text("{}")
    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "where.pyc").touch()
    assert as_taken("geo", TAKEN, digest).path == str(folder)


def test_anything_else_is_refused_with_what_was_and_what_is(site: SitePackages) -> None:
    digest = digest_of(read_files(site.plugin("geo", "1.2", where="X = 1")))
    with pytest.raises(
        AnnouncedDiffers, match=r"was taken from geo-plugin==1.2, and nothing that is installed announces"
    ):
        as_taken("maps", TAKEN, digest)
    site.plugin("geo", "1.2", where="X = 2")
    with pytest.raises(AnnouncedDiffers, match=r"and geo-plugin==1\.2 with other content is installed now"):
        as_taken("geo", TAKEN, digest)
    site.plugin("geo", "1.3", where="X = 1")
    with pytest.raises(AnnouncedDiffers, match=r"now; `pip install geo-plugin==1\.2` brings it back"):
        as_taken("geo", TAKEN, digest)


def test_its_modules_are_those_that_anybody_imports(site: SitePackages) -> None:
    files = read_files(site.plugin("geo", "1.2", where="class Place: pass"))
    found = as_taken("geo", TAKEN, digest_of(files))
    modules = InstalledModules(found, files, UnitWork("plugin geo"), "1.2")
    modules.open()
    module = modules.import_module("geo_plugin.where")
    assert (module, module.__name__) == (sys.modules["geo_plugin.where"], "geo_plugin.where")
    assert [modules.owns(name) for name in ("geo_plugin", "geo_plugin.where", "geo_plugins", "geo")] == [
        True,
        True,
        False,
        False,
    ]
    assert modules.close().gone
    assert sys.modules["geo_plugin.where"] is module


def test_what_is_imported_later_is_still_what_was_taken(site: SitePackages) -> None:
    late = "from geo_plugin import where, deep\ndef load():\n    from geo_plugin.deep import inner\n    return inner.X"
    folder = site.plugin("geo", "1.2", where="X = 1", late=late)
    (folder / "deep").mkdir()
    (folder / "deep" / "inner.py").write_text("X = 1")
    files = read_files(folder)
    modules = InstalledModules(as_taken("geo", TAKEN, digest_of(files)), files, UnitWork("plugin geo"), "1.2")
    modules.open()
    modules.import_module("geo_plugin")
    site.plugin("geo", "1.3", where="X = 2", late="raise AssertionError")
    (folder / "deep" / "inner.py").write_text("X = 2")
    assert modules.import_module("geo_plugin.late").load() == 1
    assert sys.modules["geo_plugin.where"].X == 1
