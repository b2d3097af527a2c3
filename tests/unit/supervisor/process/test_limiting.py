"""Limits of other processes, set from outside."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from changeover.supervisor.config.rlimits import parse_rlimit
from changeover.supervisor.process import limiting
from changeover.supervisor.process.limiting import CannotLimit, limit_process, may_limit_others, refuse_impossible


def unprivileged(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "status").write_text("Name:\tpython\nCapEff:\t0000000000000000\n")
    monkeypatch.setattr(limiting, "STATUS", folder / "status")


def privileged(monkeypatch: pytest.MonkeyPatch, folder: Path, uids: str = "0 0 4294967295\n") -> None:
    (folder / "status").write_text("CapEff:\t0000000001000000\n")
    (folder / "uids").write_text(uids)
    monkeypatch.setattr(limiting, "STATUS", folder / "status")
    monkeypatch.setattr(limiting, "UIDS", folder / "uids")


def test_a_limit_above_our_own_is_refused_without_the_privilege(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    unprivileged(monkeypatch, tmp_path)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    refuse_impossible([parse_rlimit("nofile=4096")])
    with pytest.raises(CannotLimit, match=r"nofile of workers cannot be raised above 4096.*LimitNOFILE="):
        refuse_impossible([parse_rlimit("core=0"), parse_rlimit("nofile=4097")])


def test_who_may_raise_limits_is_not_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    privileged(monkeypatch, tmp_path)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    refuse_impossible([parse_rlimit("nofile=4097")])


def test_the_privilege_of_a_user_namespace_raises_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    privileged(monkeypatch, tmp_path, uids="0 1000 1\n")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, 4096))
    assert may_limit_others()
    with pytest.raises(CannotLimit, match="nofile of workers cannot be raised above 4096"):
        refuse_impossible([parse_rlimit("nofile=4097")])


@pytest.mark.parametrize("limit", ["nofile=2000", "nofile=1024:unlimited"])
def test_nobody_may_have_more_files_than_the_system_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str
) -> None:
    privileged(monkeypatch, tmp_path)
    (tmp_path / "most").write_text("1999\n")
    monkeypatch.setattr(limiting, "MOST_FILES", tmp_path / "most")
    with pytest.raises(CannotLimit, match=r"above 1999, which is the most that this system has: raise fs\.nr_open"):
        refuse_impossible([parse_rlimit(limit)])


def test_a_process_gets_its_limits_while_it_runs() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            limit_process(process.pid, [parse_rlimit("nofile=100:200"), parse_rlimit("core=0")])
            assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (100, 200)
            assert resource.prlimit(process.pid, resource.RLIMIT_CORE) == (0, 0)
            with pytest.raises(OSError, match="its limit nofile cannot be set to 9000000000000:9000000000000"):
                limit_process(process.pid, [parse_rlimit("nofile=9000000000000")])
        finally:
            process.kill()
