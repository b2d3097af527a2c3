"""Where sockets and state lie, found alike by servers and clients."""

import os
import socket
from pathlib import Path

import msgspec
import pytest

from changeover.supervisor.config.paths import LONGEST_SOCKET, MAX_SOCKET_PATH, FolderUnsafe, Paths, make, paths, short
from changeover.supervisor.config.settings import Settings

UID = os.getuid()


def test_folders_follow_the_users_environment_and_the_services_name() -> None:
    found = paths(Settings(name="shop"), {"XDG_RUNTIME_DIR": "/run/user/7", "HOME": "/home/ann"}, 7)
    assert found.runtime == Path("/run/user/7/changeover/shop")
    assert found.sockets == found.runtime
    assert found.state == Path("/home/ann/.local/state/changeover/shop")
    assert found.control == Path("/run/user/7/changeover/shop/control.sock")


def test_without_any_environment_folders_are_kept_apart_by_user() -> None:
    found = paths(Settings(name="shop"), {}, 999_999)
    assert found.runtime == Path("/tmp/changeover-999999/shop")
    assert found.state == Path("/var/tmp/changeover-999999/shop")


def test_settings_win_over_the_environment() -> None:
    settings = Settings(name="shop", runtime_dir="/r", state_dir="/s")
    found = paths(settings, {"XDG_RUNTIME_DIR": "/run", "XDG_STATE_HOME": "/state"}, 7)
    assert (found.runtime, found.state) == (Path("/r"), Path("/s"))


def test_a_runtime_path_that_is_too_long_for_a_socket_is_reached_through_a_short_link(tmp_path: Path) -> None:
    long = tmp_path / ("x" * 100) / "run"
    found = Paths(long, short(long, UID), tmp_path / "state")
    assert found.sockets != long
    assert len(os.fsencode(found.sockets / LONGEST_SOCKET)) <= MAX_SOCKET_PATH
    make(found, UID)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(found.sockets / LONGEST_SOCKET))
        assert (long / LONGEST_SOCKET).is_socket()
        make(found, UID)
    finally:
        found.sockets.unlink()


def test_a_path_that_is_short_enough_is_used_as_it_is() -> None:
    fits = Path("/" + "x" * (MAX_SOCKET_PATH - len(LONGEST_SOCKET) - 2))
    assert short(fits, UID) == fits
    assert short(Path(f"{fits}x"), UID) != Path(f"{fits}x")


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    found = Paths(tmp_path / "run", tmp_path / "run", tmp_path / "state")
    make(found, UID)
    found.state.chmod(0o777)
    with pytest.raises(FolderUnsafe, match="may be written to by everybody"):
        make(found, UID)


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    found = Paths(tmp_path / "run", tmp_path / "run", tmp_path / "state")
    with pytest.raises(FolderUnsafe, match=f"belongs to uid {UID}"):
        make(found, UID + 1)


def test_a_link_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "private" / ".short" / "abc"
    link.parent.mkdir(parents=True, mode=0o700)
    link.symlink_to(tmp_path)
    found = Paths(tmp_path / "run", link, tmp_path / "state")
    with pytest.raises(FolderUnsafe, match="leads to"):
        make(found, UID)
    make(msgspec.structs.replace(found, sockets=found.runtime), UID)
