"""What is installed is known by the names of folders, and told in words when it is something else."""

from pathlib import Path

import pytest

from changeover.workers.pinned.distributions import Distributions, DistributionsDiffer, own_path


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name in ("Demo_Price-1.0.dist-info", "shop.api-2.0+local.dist-info", "~emo-0.9.dist-info", "demo_price"):
        (tmp_path / name).mkdir()
    (tmp_path / "legacy-3.1-py3.11.egg-info").write_text("Version: 3.1\n")
    (tmp_path / "developed.egg-info").mkdir()
    (tmp_path / "developed.egg-info" / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: developed\nVersion: 0.1\n")
    (tmp_path / "unnumbered.egg-info").mkdir()
    (tmp_path / "flat.egg-info").write_text("Name: flat\nVersion: 7\n")
    return tmp_path


def test_names_of_folders_say_what_is_installed(site: Path) -> None:
    assert Distributions.found([str(site), str(site / "none")]).versions == {
        "demo-price": "1.0",
        "developed": "0.1",
        "flat": "7",
        "legacy": "3.1",
        "shop-api": "2.0+local",
        "unnumbered": "",
    }


def test_the_first_folder_on_the_path_wins(site: Path, tmp_path: Path) -> None:
    user = tmp_path / "user"
    (user / "demo_price-1.5.dist-info").mkdir(parents=True)
    assert Distributions.found([str(user), str(site)]).versions["demo-price"] == "1.5"


def test_a_record_is_read_back_as_it_was_stored(site: Path) -> None:
    found = Distributions.found([str(site)])
    assert Distributions.of_files(found.files()) == found
    assert found.now() == found
    found.require_unchanged()


def test_a_file_says_what_is_installed_where_a_name_does_not(site: Path) -> None:
    sources = set(Distributions.found([str(site)]).sources())
    assert {str(site), str(site / "developed.egg-info" / "PKG-INFO"), str(site / "flat.egg-info")} <= sources
    assert not any("legacy" in source or "Demo" in source for source in sources)


def test_what_differs_is_named(site: Path) -> None:
    found = Distributions.found([str(site)])
    (site / "Demo_Price-1.0.dist-info").rename(site / "demo_price-2.0.dist-info")
    (site / "shop.api-2.0+local.dist-info").rmdir()
    (site / "added-1.dist-info").mkdir()
    with pytest.raises(DistributionsDiffer) as differ:
        found.require_unchanged()
    assert differ.value.differences == ("+ added 1", "demo-price 1.0 -> 2.0", "- shop-api 2.0+local")
    assert "demo-price 1.0 -> 2.0" in str(differ.value)


def test_this_interpreter_has_what_its_tests_need() -> None:
    found = Distributions.found(own_path())
    assert {"changeover", "pytest", "msgspec"} <= found.versions.keys()
    assert all(found.versions.values())


def test_the_python_path_comes_first(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f":{site}:{site / 'later'}:{site}")
    assert own_path()[:2] == (str(site), str(site / "later"))
    before = Distributions.found(own_path())
    (site / "later" / "added-1.0.dist-info").mkdir(parents=True)
    assert before.differing(before.now()) == ("+ added 1.0",)
