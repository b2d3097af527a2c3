"""What workers of another user may reach, and what is said when they cannot."""

import os
import stat
from pathlib import Path

import pytest

from changeover.supervisor.config.accounts import Account
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.process.runtime_directory import DirectoryUnfit, RuntimeDirectory, private_directory
from changeover.supervisor.process.sharing import (
    RUNTIME_MODE,
    NotPermitted,
    Unreachable,
    other_account,
    share_folder,
    share_state,
)
from tests.namespaces import open_folder

OTHER = Account(4711, os.getegid(), (os.getegid(),), "shop")
"""A user of our own group, so that no privilege is needed to share with it."""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_root_makes_workers_run_as_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    with pytest.raises(NotPermitted, match=r"cannot run as root \(uid 0, gid 0\): only root .* we are uid 1000"):
        other_account(Settings(user="root"))
    assert other_account(Settings(user="1000", group="1000")) is None
    assert other_account(Settings()) is None


def test_a_runtime_directory_is_shared_with_the_group_and_nothing_in_it_can_be_replaced() -> None:
    with open_folder() as folder:
        runtime = RuntimeDirectory.take(folder / "run", "shop", OTHER)
        assert mode(folder / "run") == RUNTIME_MODE
        runtime.close()
        RuntimeDirectory.take(folder / "run", "shop", OTHER).close()


def test_a_directory_that_others_may_write_to_is_refused_though_it_is_shared() -> None:
    with open_folder() as folder:
        for unfit in (0o770, 0o1777):
            (folder / "run").mkdir(exist_ok=True)
            (folder / "run").chmod(unfit)
            with pytest.raises(DirectoryUnfit, match="others may write to it"):
                private_directory(folder / "run", 0o750, OTHER)
        (folder / "run").chmod(RUNTIME_MODE)
        with pytest.raises(DirectoryUnfit, match="others may write to it"):
            private_directory(folder / "run", 0o750)


def test_a_closed_folder_above_is_named_with_what_to_choose() -> None:
    with open_folder() as folder:
        (folder / "home").mkdir(mode=0o700)
        stranger = Account(4711, os.getegid(), (), "shop")
        with pytest.raises(Unreachable, match="home is closed to workers, which run as shop; choose"):
            (folder / "home" / "state").mkdir()
            share_folder(folder / "home" / "state", stranger, 0o755)


def test_artifacts_can_be_read_whatever_the_umask() -> None:
    with open_folder() as folder:
        before = os.umask(0o077)
        try:
            (folder / "state").mkdir()
            share_state(folder / "state", folder / "state" / "artifacts", OTHER)
        finally:
            os.umask(before)
        assert (mode(folder / "state"), mode(folder / "state" / "artifacts")) == (0o750, 0o750)


def test_a_path_that_needs_a_private_link_cannot_be_shared() -> None:
    with open_folder() as folder, pytest.raises(DirectoryUnfit, match="too long for sockets"):
        RuntimeDirectory.take(folder / ("x" * 100), "shop", OTHER)
