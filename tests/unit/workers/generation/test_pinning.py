"""What is installed is compared with the record once for all workers that are forked, and again when it may differ."""

import os
import time
from pathlib import Path

import pytest

from changeover.workers.generation import pinning
from changeover.workers.generation.pinning import pin_application
from changeover.workers.pinned.distributions import Distributions, DistributionsDiffer
from changeover.workers.plugins.artifact import put


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinning, "_held", {})


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "site" / "demo-1.0.dist-info").mkdir(parents=True)
    return tmp_path / "site"


def age(folder: Path, seconds: int) -> None:
    then = time.time_ns() - seconds * 10**9
    os.utime(folder, ns=(then, then))


def recorded(store: Path, site: Path) -> str:
    return put(store, Distributions.found([str(site)]).files())


def test_a_record_that_held_is_not_read_again_while_its_folders_stay(tmp_path: Path, site: Path) -> None:
    age(site, 60)
    record = recorded(tmp_path / "store", site)
    pin_application(tmp_path / "store", tmp_path, "", record)
    pin_application(tmp_path / "no store any more", tmp_path, "", record)


def test_what_is_installed_later_is_found_all_the_same(tmp_path: Path, site: Path) -> None:
    age(site, 60)
    record = recorded(tmp_path / "store", site)
    pin_application(tmp_path / "store", tmp_path, "", record)
    (site / "demo-1.0.dist-info").rename(site / "demo-2.0.dist-info")
    with pytest.raises(DistributionsDiffer, match=r"demo 1\.0 -> 2\.0"):
        pin_application(tmp_path / "store", tmp_path, "", record)


def test_folders_that_were_changed_a_moment_ago_are_looked_into_again(tmp_path: Path, site: Path) -> None:
    record = recorded(tmp_path / "store", site)
    pin_application(tmp_path / "store", tmp_path, "", record)
    moment = site.stat().st_mtime_ns
    (site / "demo-1.0.dist-info").rename(site / "demo-2.0.dist-info")
    os.utime(site, ns=(moment, moment))
    with pytest.raises(DistributionsDiffer, match=r"demo 1\.0 -> 2\.0"):
        pin_application(tmp_path / "store", tmp_path, "", record)
