"""Tests of others that cannot be fetched are a failure, unless somebody said that there is no network."""

from pathlib import Path

import pytest

from tests import distributions
from tests.distributions import OFFLINE, Unreachable, fetched


@pytest.fixture(autouse=True)
def unreachable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fetch(requirement: str, into: Path) -> None:
        raise Unreachable(f"{requirement} cannot be fetched: no route to host")

    monkeypatch.setattr(distributions, "_fetch", fetch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(OFFLINE, raising=False)


def test_what_cannot_be_fetched_is_a_failure_that_says_what_to_do() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"gunicorn==27.0.1 cannot be fetched: .* say CHANGEOVER_"):
        fetched("gunicorn", "27.0.1")


def test_offline_it_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OFFLINE, "1")
    with pytest.raises(pytest.skip.Exception, match="no route to host"):
        fetched("gunicorn", "27.0.1")


def test_what_was_fetched_before_is_there_offline_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(OFFLINE, "1")
    folder = tmp_path / "changeover-tests" / "gunicorn-27.0.1"
    folder.mkdir(parents=True)
    assert fetched("gunicorn", "27.0.1") == folder
