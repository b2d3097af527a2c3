"""`changeover dev` and `run --reload`: one worker, everything watched, a second to drain, and flags win."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

FILE = 'workers = 4\n[plugins]\ndir = "plugins"\nreload = "disabled"\n[drain]\nhttp = 30\n'


def printed(tmp_path: Path, command: str, *arguments: str, file: str = FILE) -> dict[str, Any]:
    """Every setting as it would be used."""
    return tomllib.loads(done(tmp_path, command, *arguments, file=file).stdout)


def done(tmp_path: Path, command: str, *arguments: str, file: str = FILE) -> "subprocess.CompletedProcess[str]":
    config = tmp_path / "changeover.toml"
    config.write_text(file)
    line = [sys.executable, "-m", "changeover.supervisor", *command.split(), f"--config={config}", "--print-config"]
    environment = {**os.environ, "WEB_CONCURRENCY": "3", "CHANGEOVER_DRAIN_TASK": "9"}
    return subprocess.run([*line, *arguments], env=environment, capture_output=True, text=True, check=True, timeout=20)


@pytest.mark.parametrize("command", ["dev", "run --reload"])
def test_what_is_saved_is_taken_whatever_the_file_and_the_environment_say(tmp_path: Path, command: str) -> None:
    settings = printed(tmp_path, command)
    assert (settings["workers"], settings["plugins"]["reload"]) == (1, "on-change")
    assert {settings["drain"][kind] for kind in ("http", "stream", "websocket", "task")} == {1.0}
    assert "app" not in settings


def test_other_flags_win(tmp_path: Path) -> None:
    assert printed(tmp_path, "dev", "-w", "2")["workers"] == 2


@pytest.mark.parametrize(
    ("arguments", "file"), [(("shop:app",), FILE), ((), FILE + '[app]\ntarget = "shop:app"\n')], ids=["flag", "file"]
)
def test_an_application_is_watched_when_there_is_one(tmp_path: Path, arguments: tuple[str, ...], file: str) -> None:
    assert printed(tmp_path, "dev", *arguments, file=file)["app"]["reload"] == "on-change"


def test_run_watches_nothing_unless_it_is_told_to(tmp_path: Path) -> None:
    settings = printed(tmp_path, "run", "shop:app")
    assert (settings["workers"], settings["plugins"]["reload"]) == (4, "disabled")
    assert settings["app"]["reload"] == "on-signal"


def test_nobody_signs_what_is_being_edited_and_that_is_said_where_signatures_are_asked_for(tmp_path: Path) -> None:
    signed = 'plugins = { keys = ["public.pem"] }\n'
    asked, edited = (done(tmp_path, command, "shop:app", file=signed) for command in ("run", "dev"))
    assert tomllib.loads(asked.stdout)["plugins"]["keys"] == [str(tmp_path / "public.pem")]
    assert tomllib.loads(edited.stdout)["plugins"]["keys"] == []
    assert "keys" not in asked.stderr
    [warning] = [line for line in edited.stderr.splitlines() if "$.plugins.keys" in line]
    assert warning.startswith("warning: --reload: $.plugins.keys: plugins are taken unsigned while you edit them")
    assert "unsigned" not in done(tmp_path, "dev", "shop:app").stderr
