"""A plugin that is installed is loaded from the environment, if that is what was taken."""

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from changeover.workers.pinned.announced import AnnouncedDiffers, AnnouncedHidden
from changeover.workers.plugins.artifact import digest_of, read_files
from changeover.workers.plugins.installed import InstalledModules, as_taken
from changeover.workers.serving.attribution import UnitWork
from tests.site_packages import SitePackages

TAKEN = "geo-plugin==1.2"


def modules_of(folder: Path) -> InstalledModules:
    """Those of the plugin that is installed in a folder, which is what was taken."""
    files = read_files(folder)
    return InstalledModules(as_taken("geo", TAKEN, digest_of(files)), files, UnitWork("plugin geo"), "1.2")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SitePackages]:
    """A folder on the import path; what was imported from it is forgotten with the test."""
    made = SitePackages(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", str(made.path))
    monkeypatch.syspath_prepend(made.path)
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
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
    modules = modules_of(site.plugin("geo", "1.2", where="class Place: pass"))
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
    modules = modules_of(folder)
    modules.open()
    modules.import_module("geo_plugin")
    site.plugin("geo", "1.3", where="X = 2", late="raise AssertionError")
    (folder / "deep" / "inner.py").write_text("X = 2")
    assert modules.import_module("geo_plugin.late").load() == 1
    assert sys.modules["geo_plugin.where"].X == 1


def test_what_is_upgraded_between_the_look_and_the_import_is_not_imported(site: SitePackages) -> None:
    modules = modules_of(site.plugin("geo", "1.2", __init__="X = 1"))
    modules.open()
    site.plugin("geo", "1.3", __init__="X = 2")
    assert modules.import_module("geo_plugin").X == 1
    assert inspect.getsource(sys.modules["geo_plugin"]).strip() == "X = 1"


def test_a_single_module_is_what_was_taken_too(site: SitePackages) -> None:
    site.install("geo_plugin", "1.2", "[changeover.plugins]\ngeo = geo_plugin\n")
    file = site.path / "geo_plugin.py"
    file.write_text("X = 1")
    modules = modules_of(file)
    modules.open()
    file.write_text("X = 2")
    assert modules.import_module("geo_plugin").X == 1


def test_the_same_content_is_opened_again_by_a_process_that_has_its_modules(site: SitePackages) -> None:
    folder = site.plugin("geo", "1.2", where="X = 1")
    modules_of(folder).open()
    module = importlib.import_module("geo_plugin.where")
    again = modules_of(folder)
    again.open()
    assert again.import_module("geo_plugin.where") is module


def test_a_package_of_that_name_that_comes_first_is_refused_with_both_places(
    site: SitePackages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application's source tree, perhaps, which was never looked at."""
    folder = site.plugin("geo", "1.2", where="X = 1")
    own = tmp_path / "shop" / "geo_plugin"
    own.mkdir(parents=True)
    (own / "__init__.py").touch()
    (own / "where.py").write_text("raise AssertionError")
    monkeypatch.syspath_prepend(own.parent)
    with pytest.raises(AnnouncedHidden) as hidden:
        modules_of(folder).open()
    assert f"geo was taken from {TAKEN} in {folder}, and `import geo_plugin` finds {own} first" in str(hidden.value)
    assert "geo_plugin" not in sys.modules


def test_what_is_on_no_import_path_is_refused(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = modules_of(site.plugin("geo", "1.2", where="X = 1"))
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder != str(site.path)])
    with pytest.raises(AnnouncedHidden, match=r"`import geo_plugin` finds nothing here"):
        modules.open()


def test_what_somebody_imported_before_is_refused_with_its_place(site: SitePackages) -> None:
    """Nobody knows of which version a module is that this process has had since before the upgrade."""
    folder = site.plugin("geo", "1.1", where="X = 0")
    importlib.import_module("geo_plugin.where")
    site.plugin("geo", "1.2", where="X = 1")
    with pytest.raises(AnnouncedHidden) as hidden:
        modules_of(folder).open()
    place = f"geo_plugin was imported from {folder}/__init__.py before, which may be another version; import it after"
    assert f"geo was taken from {TAKEN} in {folder}, and {place}" in str(hidden.value)
    assert sys.modules["geo_plugin.where"].X == 0
