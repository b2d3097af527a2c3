"""Where sockets and state lie, found alike by servers and clients."""

from pathlib import Path

from changeover.supervisor.config.paths import paths
from changeover.supervisor.config.settings import Settings


def test_folders_follow_the_users_environment_and_the_services_name() -> None:
    found = paths(Settings(name="shop"), {"XDG_RUNTIME_DIR": "/run/user/7", "HOME": "/home/ann"}, 7)
    assert found.runtime == Path("/run/user/7/changeover/shop")
    assert found.state == Path("/home/ann/.local/state/changeover/shop")


def test_without_any_environment_folders_are_kept_apart_by_user() -> None:
    found = paths(Settings(name="shop"), {}, 999_999)
    assert found.runtime == Path("/tmp/changeover-999999/shop")
    assert found.state == Path("/var/tmp/changeover-999999/shop")


def test_settings_win_over_the_environment() -> None:
    settings = Settings(name="shop", runtime_dir="/r", state_dir="/s")
    found = paths(settings, {"XDG_RUNTIME_DIR": "/run", "XDG_STATE_HOME": "/state"}, 7)
    assert (found.runtime, found.state) == (Path("/r"), Path("/s"))
