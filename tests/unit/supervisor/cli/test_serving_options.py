"""Flags of `run` that mean more than the setting they are named after."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest


def printed(folder: Path, *arguments: str) -> dict[str, Any]:
    """Every setting as it would be used by a server that is started in `folder`."""
    line = [sys.executable, "-m", "changeover.supervisor", "run", "--print-config", *arguments]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True, timeout=20)
    return tomllib.loads(done.stdout)


@pytest.mark.parametrize(
    ("typed", "means"),
    [
        ("--preload shop:app", True),
        ("shop:app --preload", True),
        ("--preload=strict shop:app", "strict"),
        ("--no-preload shop:app", False),
        ("shop:app", True),
    ],
)
def test_preloading_is_typed_as_with_gunicorn_and_may_be_strict(tmp_path: Path, typed: str, means: object) -> None:
    app = printed(tmp_path, *typed.split())["app"]
    assert (app["target"], app["preload"]) == ("shop:app", means)


def test_an_interpreter_is_looked_for_from_where_it_was_named(tmp_path: Path) -> None:
    config = tmp_path / "changeover.toml"
    config.write_text('python = "venv"\n[plugins]\ndir = "plugins"\n')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert printed(elsewhere, f"--config={config}")["python"] == str(tmp_path / "venv")
    assert printed(elsewhere, f"--config={config}", "--python=other")["python"] == str(elsewhere / "other")


def test_websockets_are_bounded_by_the_flags_of_uvicorn(tmp_path: Path) -> None:
    typed = (
        "--ws-max-size=1kB --ws-max-queue=8 --ws-ping-interval=0 --ws-ping-timeout=5s --ws-per-message-deflate=false"
    )
    limits = printed(tmp_path, *typed.split(), "shop:app")["limits"]
    names = ("message", "messages", "ping_interval", "ping_timeout", "deflate")
    assert [limits[name] for name in names] == [1000, 8, 0, 5, False]


@pytest.mark.parametrize(
    ("typed", "believed"),
    [
        ("", []),
        ("--proxy-headers", ["127.0.0.0/8", "::1"]),
        ("--proxy-headers --forwarded-allow-ips=10.0.0.0/8", ["10.0.0.0/8"]),
        ("--forwarded-allow-ips=10.0.0.1,fd00::/8", ["10.0.0.1", "fd00::/8"]),
        ("--forwarded-allow-ips=*", ["0.0.0.0/0", "::/0"]),
        ("--no-proxy-headers", []),
    ],
)
def test_who_is_believed_is_typed_as_with_uvicorn(tmp_path: Path, typed: str, believed: list[str]) -> None:
    assert printed(tmp_path, "shop:app", *typed.split()).get("forwarded", []) == believed


def test_nobody_and_somebody_cannot_be_believed(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "changeover.supervisor", "run", "a:b", "--no-proxy-headers"]
    done = subprocess.run(
        [*line, "--forwarded-allow-ips=*"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=20
    )
    assert done.returncode == 2
    assert "leave out --forwarded-allow-ips" in done.stderr


@pytest.mark.parametrize(
    ("typed", "file"),
    [
        ("", "auto"),
        ("--access-logfile=-", "-"),
        ("--access-log", "-"),
        ("--no-access-log", ""),
        ("--access-logfile=/var/log/access", "/var/log/access"),
    ],
)
def test_where_requests_are_told(tmp_path: Path, typed: str, file: str) -> None:
    assert printed(tmp_path, "shop:app", *typed.split())["access_log"]["file"] == file


def test_a_file_is_meant_from_where_it_was_named(tmp_path: Path) -> None:
    assert printed(tmp_path, "shop:app", "--access-logfile=log/access")["access_log"]["file"] == str(
        tmp_path / "log/access"
    )


def test_flags_of_recycling_deadlines_and_accounts_reach_their_settings(tmp_path: Path) -> None:
    typed = (
        "--max-requests=10 --max-requests-jitter=2 --max-worker-lifetime=1h --max-worker-lifetime-jitter=5m "
        "--max-worker-memory=1000000 --timeout=1m --orphan-timeout=0 --graceful-timeout=7 -u root -g root -m 027 "
        "--rlimit nofile=100 --rlimit core=0 --new-privs shop:app"
    )
    settings = printed(tmp_path, *typed.split())
    recycle, deadlines = settings["recycle"], settings["deadlines"]
    assert recycle == recycle | {"requests": 10, "requests_jitter": 2, "lifetime": 3600.0, "lifetime_jitter": 300.0}
    assert recycle["memory"] == 1_000_000
    assert printed(tmp_path, "--max-worker-memory", "80 MiB", "shop:app")["recycle"]["memory"] == 80 << 20
    assert deadlines == deadlines | {"request": 60.0, "orphan": 0.0, "graceful": 7.0}
    assert (settings["user"], settings["group"], settings["umask"]) == ("root", "root", "027")
    assert (settings["rlimits"], settings["no_new_privs"]) == (["nofile=100", "core=0"], False)
