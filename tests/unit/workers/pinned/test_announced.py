"""What installed distributions announce is found without importing any of them."""

import sys
from pathlib import Path

import pytest

from changeover.workers.pinned.announced import Announced, announced
from tests.site_packages import SitePackages


@pytest.fixture
def site(tmp_path: Path) -> SitePackages:
    return SitePackages(tmp_path / "site")


def test_it_is_told_with_its_distribution_and_where_it_lies(site: SitePackages) -> None:
    folder = site.plugin("geo", "1.2", __init__="raise AssertionError('nobody imports it')")
    assert announced([str(site.path)]) == (Announced("geo", "geo-plugin==1.2", "geo_plugin", str(folder)),)
    assert "geo_plugin" not in sys.modules


def test_of_all_entry_points_only_those_of_the_group_count(site: SitePackages) -> None:
    site.install(
        "tools",
        "2.0",
        "[console_scripts]\ngeo = tools:main\n\n[changeover.plugins]\n# geo = nowhere\n\nrates = acme.rates [fast]\n"
        "single=single\n[other]\nmore = more\n",
    )
    (site.path / "acme" / "rates").mkdir(parents=True)
    (site.path / "single.py").touch()
    found = announced([str(site.path)])
    assert [(each.plugin, each.target) for each in found] == [("rates", "acme.rates"), ("single", "single")]
    assert [each.path for each in found] == [str(site.path / "acme" / "rates"), str(site.path / "single.py")]


@pytest.mark.parametrize("target", ["geo_plugin:Geo", "../geo", "geo_plugin.nowhere", ""])
def test_what_it_names_and_is_not_there_lies_nowhere(site: SitePackages, target: str) -> None:
    site.plugin("geo", "1.2")
    site.install("geo_plugin", "1.2", f"[changeover.plugins]\ngeo = {target}\n")
    assert [each.path for each in announced([str(site.path)])] == [""]


def test_an_editable_install_lies_elsewhere(
    site: SitePackages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("geo_plugin", "1.2", "[changeover.plugins]\ngeo = geo_plugin.inner\nmaps = geo_maps\n")
    (tmp_path / "src" / "geo_plugin" / "inner").mkdir(parents=True)
    (tmp_path / "src" / "geo_plugin" / "__init__.py").touch()
    (tmp_path / "src" / "geo_maps.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "src")
    places = [Path(each.path).relative_to(tmp_path / "src").as_posix() for each in announced([str(site.path)])]
    assert places == ["geo_plugin/inner", "geo_maps.py"]
    assert "geo_plugin" not in sys.modules


def test_of_one_distribution_in_two_folders_the_first_is_the_one(site: SitePackages, tmp_path: Path) -> None:
    site.plugin("geo", "1.2")
    user = SitePackages(tmp_path / "user")
    user.plugin("geo", "1.3")
    path = [str(user.path), str(site.path), str(tmp_path / "nowhere")]
    assert [each.distribution for each in announced(path)] == ["geo-plugin==1.3"]
    user.install("geo_plugin", "1.4", "")
    assert announced(path) == ()
