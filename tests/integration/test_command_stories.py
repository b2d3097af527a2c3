"""The command, typed for real: each story is what somebody does at a prompt, and the exit status they get."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from changeover.server import Server
from changeover.supervisor.cli.exits import Exit
from changeover.supervisor.cli.tour.versions import install
from changeover.supervisor.control import SlotState
from tests.service import status_when
from tests.waits import until_sync

COMMAND = (sys.executable, "-m", "changeover")


SHOP = """# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "shop"
# version = "{}"
# services = {{ shop = {{ mount = "/shop" }} }}
# ///
import os
import time
from changeover.plugin import CallContext, Request, Response, service
{}


@service
async def shop(request: Request, call: CallContext) -> Response:
    return Response.text("open")
"""


class Prompt:
    """Types commands for the services in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plugins = folder / "plugins"
        self.plugins.mkdir()

    def type(self, *words: str, seconds: float = 30.0) -> subprocess.CompletedProcess[str]:
        """Type a command and wait for it."""
        return subprocess.run(
            [*COMMAND, *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
            env={**os.environ, "CHANGEOVER_RUNTIME_DIR": str(self.folder / "run")},
        )

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Type `changeover run` for something that cannot serve."""
        return self.type("run", *words, "--state-dir=state", "--log-format=text")

    def server(self, **env: str) -> Server:
        """A service of two workers, to be reached by the commands."""
        return Server(plugins=self.plugins, workers=2, name="story", runtime_dir=self.folder / "run", env=env)


@pytest.fixture
def prompt(tmp_path: Path) -> Prompt:
    return Prompt(tmp_path)


def test_the_demo_goes_as_it_should(prompt: Prompt) -> None:
    done = prompt.type("demo", seconds=60.0)
    assert done.returncode == Exit.DONE, done.stdout + done.stderr
    assert "ValueError: invalid literal for int() with base 10: '1O0'" in done.stdout
    assert "everything went as it should" in done.stdout


async def test_content_that_was_rolled_back_comes_back_only_by_force(prompt: Prompt) -> None:
    install("1.0.0", prompt.plugins)
    async with prompt.server():
        install("2.0.0", prompt.plugins)
        assert prompt.type("reload", "--label", "two", "--until", "retired").returncode == Exit.DONE
        assert prompt.type("rollback").returncode == Exit.DONE
        assert "was rolled back already, or is what serves: epoch 2, 1;" in prompt.type("rollback").stdout
        held = prompt.type("reload")
        assert (held.returncode, "held" in held.stdout) == (Exit.REFUSED, True)
        assert prompt.type("reload", "--force").returncode == Exit.DONE
        history = prompt.type("history").stdout.splitlines()
        assert [line.split()[0] for line in history[1:]] == ["4", "3", "2", "1"]
        assert history[1].split()[1] == "serving"
        assert "back to epoch 1" in history[2]


async def test_a_refusal_is_shown_at_once_and_kept_for_later(prompt: Prompt) -> None:
    install("1.0.0", prompt.plugins)
    async with prompt.server():
        install("3.0.0", prompt.plugins)
        refused = prompt.type("reload")
        assert refused.returncode == Exit.REFUSED
        assert "nothing changed, epoch 1 serves in all 2 workers" in refused.stdout
        assert "self.total = sum(int(price) for price in PRICES.values())" in refused.stdout
        assert "last   epoch 2 refused" in prompt.type("status").stdout
        assert "ValueError: invalid literal" in prompt.type("explain", "2").stdout
        counts = msgspec.json.decode(prompt.type("status", "--json").stdout)["counts"]
        assert (counts["reloads"], sum(counts["refusals"].values())) == (1, 1)
        assert "epoch 2 was never committed" in prompt.type("rollback", "--to", "2").stdout


@pytest.mark.parametrize(("serves", "hangs"), [(0, 1), (1, 0)])
async def test_a_reload_does_not_say_of_a_slot_whose_worker_was_killed_that_it_serves(
    prompt: Prompt, serves: int, hangs: int
) -> None:
    go, plugin = prompt.folder / "go", prompt.plugins / "shop.py"
    plugin.write_text(SHOP.format("1.0", ""))
    async with prompt.server(CHANGEOVER_DEADLINES_PREPARE="3", CHANGEOVER_PREFLIGHT_ENABLED="false") as server:
        stays = (await server.status()).slots[serves].pid
        plugin.write_text(
            SHOP.format("2.0", f"while os.getpid() != {stays} and not os.path.exists({str(go)!r}): time.sleep(0.01)")
        )
        done = prompt.type("reload", "--on-silent-worker", "kill")
        assert done.returncode == Exit.DONE
        assert f"done  epoch 2 serves in 1 of 2 workers (slot {hangs} is " in done.stdout
        go.touch()
        await status_when(server, lambda now: {slot.state for slot in now.slots} == {SlotState.SERVING})
        assert "done  epoch 3 serves in all 2 workers" in prompt.type("reload", "--force").stdout


async def test_diff_says_what_is_on_disk_before_it_is_taken_and_what_two_epochs_were_after_it(prompt: Prompt) -> None:
    install("1.0.0", prompt.plugins)
    async with prompt.server():
        assert prompt.type("diff").stdout.splitlines()[0] == "epoch 1 -> on disk: the same"
        install("2.0.0", prompt.plugins)
        before = prompt.type("diff").stdout.splitlines()
        assert before[0] == "epoch 1 -> on disk"
        [plugin] = [line for line in before if line.startswith("  plugin")]
        assert " 1.0.0 " in plugin
        assert " -> 2.0.0 " in plugin
        assert "since 1 ->" in plugin
        assert not plugin.endswith("since 2"), "nothing was taken, so nothing has a number"
        assert any(line.startswith("      file ") for line in before)
        assert prompt.type("reload").returncode == Exit.DONE
        after = prompt.type("diff", "1", "2").stdout.splitlines()
        assert after[0] == "epoch 1 -> epoch 2"
        assert f"{plugin} since 2" in after
        assert [line for line in after if "file " in line] == [line for line in before if "file " in line]
        assert prompt.type("diff", "1").stdout.splitlines() == after
        install("3.0.0", prompt.plugins)
        assert prompt.type("reload").returncode == Exit.REFUSED
        refused = prompt.type("diff", "2", "3").stdout.splitlines()
        assert refused[0] == "epoch 2 -> epoch 3"
        assert any("2.0.0" in line and "3.0.0" in line for line in refused)


async def test_a_server_is_scaled_by_command(prompt: Prompt) -> None:
    install("1.0.0", prompt.plugins)
    async with prompt.server() as server:
        assert prompt.type("scale", "3").returncode == Exit.DONE
        assert [slot.slot for slot in (await server.status()).slots] == [0, 1, 2]


def test_a_service_stopped_by_command_leaves_nothing(prompt: Prompt) -> None:
    install("1.0.0", prompt.plugins)
    words = ("run", "--plugins=plugins", "-b", "127.0.0.1:0", "--state-dir=state")
    environment = {**os.environ, "CHANGEOVER_RUNTIME_DIR": str(prompt.folder / "run")}
    with subprocess.Popen([*COMMAND, *words], cwd=prompt.folder, env=environment, stderr=subprocess.DEVNULL) as service:
        try:
            until_sync(lambda: prompt.type("status", "--check").returncode == Exit.DONE, "it serves", 30.0)
            assert prompt.type("stop").returncode == Exit.DONE
            assert service.wait(5) == Exit.DONE
        finally:
            service.kill()
    assert list((prompt.folder / "run").glob("*.sock")) == []


def test_two_folders_of_one_name_that_take_turns_are_told(prompt: Prompt) -> None:
    install("1.0.0", prompt.plugins)
    words = ("run", f"--plugins={prompt.plugins}", "-b", "127.0.0.1:0", "--log-format=text")
    environment = {"CHANGEOVER_RUNTIME_DIR": str(prompt.folder / "run"), "XDG_STATE_HOME": str(prompt.folder / "state")}
    logs = []
    for owner in ("ann", "ben"):
        folder = prompt.folder / owner / "shop"
        folder.mkdir(parents=True)
        with (
            (folder / "log").open("w") as log,
            subprocess.Popen([*COMMAND, *words], cwd=folder, env=os.environ | environment, stderr=log) as service,
        ):
            try:
                until_sync(lambda: prompt.type("status", "--check").returncode == Exit.DONE, "it serves", 30.0)
                assert prompt.type("stop").returncode == Exit.DONE
                assert service.wait(5) == Exit.DONE
            finally:
                service.kill()
        logs.append((folder / "log").read_text())
    assert ["goes on with the history of" in log for log in logs] == [False, True]
    assert f"{prompt.folder}/ben/shop goes on with the history of {prompt.folder}/ann/shop" in logs[1]


def test_an_app_that_cannot_be_imported_is_exit_4(prompt: Prompt) -> None:
    (prompt.folder / "shop.py").write_text("import nothing_of_this_name\napp = None\n")
    done = prompt.run("shop:app", "-b", "127.0.0.1:0")
    assert done.returncode == Exit.APP_LOAD
    assert "nothing_of_this_name" in done.stderr
    assert list((prompt.folder / "run").glob("*.sock")) == []


def test_an_address_in_use_names_its_holder(prompt: Prompt) -> None:
    install("1.0.0", prompt.plugins)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = prompt.run("--plugins=plugins", "-b", address)
    assert done.returncode == Exit.REFUSED
    assert f"cannot listen on {address}: in use, held by pid {os.getpid()}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_configuration_with_mistakes_names_all_of_them_at_once(prompt: Prompt) -> None:
    (prompt.folder / "changeover.toml").write_text('workers = 0\nbind = ["nowhere"]\n[app]\ntarget = "shop"\n')
    done = prompt.type("check")
    assert done.returncode == Exit.REFUSED
    for path in ("$.workers", "$.bind[0]", "$.app.target"):
        assert path in done.stderr
    assert prompt.type("run").returncode == Exit.USAGE


def test_an_application_that_lies_nowhere_is_missed_by_the_check(prompt: Prompt) -> None:
    (prompt.folder / "shop.py").write_text("raise SystemExit('imported')\n")
    assert prompt.type("check", "shop:app").returncode == Exit.DONE
    for words, missing in (
        (("nomod:app",), "error: $.app.target: there is no module 'nomod' in "),
        (("shop:app", "--app-dir=nope"), "error: $.app.dir: there is no folder "),
    ):
        for done in (prompt.type("check", *words), prompt.type("run", "--check-config", *words)):
            assert (done.returncode != Exit.DONE, done.stdout) == (True, "")
            assert missing in done.stderr


def test_a_limit_that_nobody_can_set_is_refused_by_the_check_as_by_the_start(prompt: Prompt) -> None:
    for words in (("check",), ("run", "--check-config"), ("run",)):
        done = prompt.type(*words, "--plugins=plugins", "--rlimit=nofile=unlimited")
        assert done.returncode != Exit.DONE
        assert "the limit nofile of workers cannot be raised above " in done.stderr


def test_run_can_be_asked_to_check_only_with_every_flag_that_it_has(prompt: Prompt) -> None:
    install("1.0.0", prompt.plugins)
    flags = ("run", "--check-config", "--log-level=error", "--pid=pid", "--env", "CHANGEOVER_PLUGINS_DIR=plugins")
    right = prompt.type(*flags)
    assert (right.returncode, right.stdout.split()[:3]) == (Exit.DONE, ["nothing", "is", "wrong"])
    wrong = prompt.type(*flags, "--plugins=nowhere")
    assert wrong.returncode == Exit.USAGE
    assert "nowhere: this folder of plugins cannot be read: No such file or directory" in wrong.stderr


def test_files_of_the_command_line_that_cannot_be_used_are_named_in_plain_words(prompt: Prompt) -> None:
    (prompt.folder / "latin").write_bytes(b"NAME=\xe9\n")
    for flag, words in (
        ("--env-file=nowhere", "--env-file nowhere cannot be read: No such file or directory"),
        ("--env-file=latin", "--env-file latin is not UTF-8: invalid continuation byte at byte 5"),
        ("--log-file=no/log", "--log-file no/log cannot be written: No such file or directory"),
    ):
        done = prompt.run("--plugins=plugins", flag)
        assert (done.returncode, done.stderr.strip().endswith(words)) == (Exit.USAGE, True)


def test_no_server_is_exit_5(prompt: Prompt) -> None:
    assert prompt.type("reload").returncode == Exit.NO_SERVER
