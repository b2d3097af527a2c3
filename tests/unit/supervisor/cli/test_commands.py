import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from changeover.supervisor.api.client import SOCKET_NAME
from changeover.supervisor.cli import COMMANDS, leaks, main, upgrade
from changeover.supervisor.cli.exits import Exit
from changeover.supervisor.cli.foreign import FOREIGN
from changeover.supervisor.cli.overview import clock
from changeover.supervisor.cli.run import command as run_command
from changeover.supervisor.control import RefusedRequest
from changeover.supervisor.core.edits import Add, PipelineEdit, Remove, Replace
from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.events import Urgency
from changeover.supervisor.core.outcome import Action, ExtraMemory, SilentWorkers
from changeover.supervisor.core.records.retirement import EpochRetired
from changeover.supervisor.core.records.staffing import Scaled
from changeover.supervisor.remaining import LeaksView
from changeover.supervisor.upgrade.refused import RefusedUpgrade
from tests.fake_control import AGAIN, ENDED, FakeControl, serving

API = "shop.example/api"
LONG_AGO = 1_700_000_000.0


class Shell:
    """Types commands for one server."""

    def __init__(self, runtime: Path, control: FakeControl) -> None:
        self.runtime = runtime
        self.control = control

    def __call__(self, command: str, *arguments: str) -> Result:
        return CliRunner().invoke(main, [command, f"--runtime-dir={self.runtime}", *arguments])


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    control = FakeControl()
    with serving(control, tmp_path):
        yield Shell(tmp_path, control)


def test_a_reload_says_what_happened_phase_by_phase(shell: Shell) -> None:
    result = shell("reload", "--label", "pricing 1.5", "--only", "pricing", "--on-silent-worker", "kill")
    lines = result.output.splitlines()
    assert result.exit_code == Exit.DONE
    assert lines[0] == "shop  epoch 7 -> 8  swap in 4 workers   pricing 1.4.0 -> 1.5.0, app unchanged"
    assert lines[1].startswith("  prepare    4/4  ")
    assert lines[2] == "  commit     4/4  1.1 ms"
    assert lines[3] == "done  epoch 8 serves in all 4 workers  (0.62 s)"
    assert lines[-2] == "  still on 7: 1 websocket /live (4 min)   see: changeover leases"
    assert lines[-1] == "  undo: changeover rollback --to 7"
    [request] = shell.control.requests
    assert (request.origin.label, request.only) == ("pricing 1.5", ("pricing",))
    assert request.on_silent_workers is SilentWorkers.KILL


def test_a_refusal_shows_where_why_and_what_next(shell: Shell) -> None:
    shell.control.refusing = True
    result = shell("reload")
    assert result.exit_code == Exit.REFUSED
    assert "slot 2 REFUSED after" in result.output
    assert "refused (exit 1): nothing changed, epoch 7 serves in all 4 workers" in result.output
    assert "  slot 2 (pid 4127)  plugin pricing  on_load      plugins/pricing/pricing/__init__.py:41" in result.output
    assert "      self.pool = await connect(self.config.dsn, timeout=5)" in result.output
    assert "    | TimeoutError: no connection to db:5432 within 5 s" in result.output
    assert "next: fix, then `changeover reload`" in result.output
    assert "`changeover explain 8`" in result.output


def test_a_roll_is_asked_for_in_batches_and_with_a_surge(shell: Shell) -> None:
    assert shell("reload", "--strategy=roll", "--batch=2", "--surge=4").exit_code == Exit.DONE
    [request] = shell.control.requests
    assert (request.batch, request.surge, request.allow_partial) == (2, 4, False)
    assert shell("reload", "--surge=1", "--allow-partial").exit_code == Exit.DONE
    assert shell.control.requests[-1].allow_partial
    assert shell("reload", "--batch=0").exit_code == Exit.USAGE


def test_a_worker_that_died_of_it_is_not_said_to_serve(shell: Shell) -> None:
    shell.control.refusing = shell.control.dying = True
    assert "nothing changed, epoch 7 serves in 3 of 4 workers (slot 2 lost its worker)" in shell("reload").output


def test_nothing_changed_says_so_and_how_to_force_it(shell: Shell) -> None:
    shell.control.changed = False
    result = shell("reload")
    assert (result.exit_code, shell.control.epoch) == (Exit.DONE, 7)
    assert "nothing changed" in result.output
    assert "--force" in result.output


def test_a_rollback_that_changes_nothing_speaks_of_what_it_wants_and_not_of_the_disk(shell: Shell) -> None:
    shell.control.changed = False
    result = shell("rollback", "--to", "3")
    assert (result.exit_code, shell.control.epoch) == (Exit.DONE, 7)
    assert result.output.splitlines() == [
        "nothing changed: what the rollback wants is epoch 7, which serves",
        "next: `changeover rollback --to EPOCH` goes back to other content; `changeover history` lists it",
    ]


def test_a_dry_run_shows_the_difference_and_changes_nothing(shell: Shell) -> None:
    result = shell("reload", "--dry-run")
    assert (result.exit_code, shell.control.epoch) == (Exit.DONE, 7)
    assert "  pricing 1.4.0 -> 1.5.0" in result.output


def test_another_interpreter_is_named_as_the_server_sees_it(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shell.runtime)
    assert shell("reload", "--python", "venv").exit_code == Exit.DONE
    [request] = shell.control.requests
    assert request.python == str(shell.runtime / "venv")


def test_the_memory_that_a_roll_needs_is_shown_before_it_is_done(shell: Shell) -> None:
    shell.control.memory = ExtraMemory(4, 85 << 20, available=2150 << 20, exact=True)
    needed = "about 340 M beside what is there, for 4 workers of 85 M; 2.1 G available"
    assert f"  needs {needed}" in shell("reload", "--dry-run").output
    assert shell("reload").output.splitlines()[1] == f"  memory     {needed}"


def test_another_epoch_than_expected_is_refused(shell: Shell) -> None:
    result = shell("reload", "--if-epoch", "3")
    assert (result.exit_code, shell.control.requests) == (Exit.REFUSED, [])
    assert "epoch 7 is committed" in result.output


def test_a_wait_that_ends_first_says_that_nothing_is_decided(shell: Shell) -> None:
    shell.control.gate.clear()
    result = shell("reload", "--wait", "0.5")
    assert result.exit_code == Exit.WAIT_ENDED
    assert "not decided within 0.5 s" in result.output.splitlines()[-1]


def test_a_wait_that_ends_after_the_commit_says_what_is_missing(shell: Shell) -> None:
    shell.control.settling.clear()
    result = shell("reload", "--wait", "0.5", "--until", "retired")
    assert result.exit_code == Exit.WAIT_ENDED
    assert "committed, and not yet retired" in result.output.splitlines()[-1]


def test_until_waits_for_the_milestone(shell: Shell) -> None:
    shell.control.settling.clear()
    release = threading.Timer(0.2, shell.control.settling.set)
    release.start()
    result = shell("reload", "--until", "drained")
    release.join()
    assert result.exit_code == Exit.DONE
    assert "drained: nobody uses what it replaced any more" in result.output


def test_a_rollback_names_the_epoch(shell: Shell) -> None:
    result = shell("rollback", "--to", "5")
    assert result.exit_code == Exit.DONE
    assert result.output.endswith("  undo: changeover rollback --to 7\n")
    assert (shell.control.requests[0].action, shell.control.requests[0].to) == (Action.ROLLBACK, 5)


def test_status_shows_every_slot_and_what_needs_attention(shell: Shell) -> None:
    shell.control.silent = frozenset({3})
    shell.control.alarms = ("3 of 4 slots serve",)
    result = shell("status")
    lines = result.output.splitlines()
    assert lines[0].startswith("shop   epoch 7 since ")
    assert '"pricing 1.5" by deploy (uid 1001)' in lines[0]
    assert lines[1] == "listen 127.0.0.1:8000, unix:/run/shop/web.sock"
    assert lines[2] == "python 3.12.1 (/srv/shop/venv/bin/python)"
    assert lines[4].split()[:3] == ["0", "4121", "7"]
    assert "9; on 6: 1" in lines[4]
    assert lines[7].endswith("PARKED: 5 exits in 60 s (SIGSEGV); next try in 4 min")
    assert lines[8].startswith("kept   zygote 1 until 2023-11-1")
    assert lines[8].endswith(", for a way back without an import")
    assert lines[-4:-2] == [
        "plugin pricing 1.5.0 active",
        "older  plugin geo since 2 retiring in slot 3 | plugin pricing since 5 draining in slots 0, 2",
    ]
    assert lines[-2].startswith("pricing 1.6.0 on disk: refused 2023-11-1")
    assert lines[-2].endswith(" as epoch 6, not tried again by watching or schedule")
    assert lines[-1] == "!      3 of 4 slots serve"
    assert (result.exit_code, shell("status", "--check").exit_code) == (Exit.DONE, Exit.REFUSED)


def test_status_shows_what_passes_the_pipelines_and_which_service_is_not_ready(shell: Shell) -> None:
    lines = [line.split() for line in shell("status").output.splitlines()]
    assert ["shop", "1,240", "3", "0", "app", "yes"] in lines
    assert ["quote", "12", "0", "2", "pricing:quote", "NOT", "in", "1", "worker"] in lines


def test_pipelines_are_listed_with_what_passed_them(shell: Shell) -> None:
    shell.control.silent = frozenset({3})
    output = shell("pipelines").output
    [shop] = [line for line in output.splitlines() if line.startswith("shop ")]
    assert shop.split()[:4] == ["shop", "shop.example/", "1,240", "3"]
    assert "2, NOW in 1 worker" in shop
    assert shop.endswith("request-id, pricing:discount  app")
    assert "no route not_found: 7" in output
    assert "! no answer from slot 3" in output


def test_one_pipeline_is_shown_with_its_handlers_and_how_each_worker_runs_it(shell: Shell) -> None:
    lines = shell("pipelines", "shop").output.splitlines()
    assert lines[0] == "pipeline shop   9c41ab since epoch 7; epoch 7 serves"
    [discount] = [line for line in lines if line.startswith("pricing:discount")]
    assert discount.split() == [
        *("pricing:discount", "inbound", "app", "pricing", "1.5.0", "2.0", "us", "9.0", "ms", "5", "3", "-"),
    ]
    assert next(line for line in lines if line.startswith("0 ")).endswith("as meant")
    strange = next(line for line in lines if line.startswith("3 "))
    assert strange.endswith("! it is 111111 of epoch 6 and not 9c41ab of epoch 7")


def test_a_pipeline_that_is_edited_is_shown_to_be(shell: Shell) -> None:
    assert "edited   not as its file says" in shell("pipelines", API).output
    assert "edited" not in shell("pipelines", "shop").output


def test_a_pipeline_that_is_not_there_is_refused_with_those_that_are(shell: Shell) -> None:
    missing = shell("pipelines", "shpo")
    assert missing.exit_code == Exit.REFUSED
    assert "there is no pipeline shpo: there are shop" in missing.output


def test_pipelines_as_json_are_what_the_server_says(shell: Shell) -> None:
    assert msgspec.json.decode(shell("pipelines", "--json").output)["pipelines"][0]["id"] == "shop"
    assert msgspec.json.decode(shell("pipelines", "shop", "--json").output)["digest"] == "9c41ab" * 10
    assert len(msgspec.json.decode(shell("pipelines", "shop", "--registry", "--json").output)["workers"]) == 4
    assert shell("pipelines", "--registry").exit_code == Exit.USAGE


def test_status_says_which_slots_serve_which_epoch_in_a_roll_in_parts(shell: Shell) -> None:
    shell.control.parted = True
    output = shell("status").output
    assert "parts  epoch 8 in slots 1 (part 1 of 4), epoch 7 in the others" in output
    assert "not 7" not in output


def test_status_as_json_is_what_the_server_says(shell: Shell) -> None:
    assert msgspec.json.decode(shell("status", "--json").output)["epoch"] == 7


def test_many_things_held_leave_every_line_short_and_explain_names_them_all(shell: Shell) -> None:
    shell.control.held = ("geo 2.1.0", *(f"prices 1.0.{number}" for number in range(40)))
    shell.control.summary = ("shop 1.0.0 -> 1.1.0", *(f"not taken: {each}" for each in shell.control.held))
    short = "shop 1.0.0 -> 1.1.0; not taken: geo 2.1.0, prices 1.0.0, prices 1.0.1 and 38 more"
    assert "held   geo 2.1.0, prices 1.0.0, prices 1.0.1 and 38 more (set aside" in shell("status").output
    assert shell("history").output.splitlines()[1].endswith(short)
    assert shell("reload").output.splitlines()[0].endswith(short)
    assert "    not taken: prices 1.0.39" in shell("explain", "7").output.splitlines()


@pytest.mark.parametrize(
    ("typed", "step"),
    [
        (("add", API, "pricing:tax"), Add("pricing:tax")),
        (("add", API, "pricing:tax", "--before", "pricing:x"), Add("pricing:tax", before="pricing:x")),
        (("add", API, "pricing:tax", "--at", "0"), Add("pricing:tax", at=0)),
        (
            ("add", API, "limit", "--set", "limit=200", "--set", "per=30s", "--set", "on=true"),
            Add({"use": "limit", "limit": 200, "per": "30s", "on": True}),
        ),
        (("remove", API, "pricing:tax"), Remove("pricing:tax")),
        (("replace", API, "pricing:tax", "pricing:vat"), Replace("pricing:tax", "pricing:vat")),
        (("replace", API, "limit", "limit", "--set", "limit=5"), Replace("limit", {"use": "limit", "limit": 5})),
    ],
)
def test_an_edit_is_asked_for_the_content_that_serves(
    shell: Shell, typed: tuple[str, ...], step: Add | Remove | Replace
) -> None:
    action, *arguments = typed
    runtime = f"--runtime-dir={shell.runtime}"
    result = CliRunner().invoke(main, ["handler", action, runtime, *arguments, "--label", "tax"])
    assert (result.exit_code, "undo: changeover rollback --to 7" in result.output) == (Exit.DONE, True), result.output
    [request] = shell.control.requests
    assert request.edit == PipelineEdit(API, (step,), "digest of 7")
    assert request.origin.label == "tax"


@pytest.mark.parametrize(
    ("typed", "exit", "why"),
    [
        (("add", "/api", "x:y"), Exit.REFUSED, "there is no pipeline /api: there are shop, shop.example/api"),
        (("add", API, "x:y", "--before", "a:b", "--at", "1"), Exit.USAGE, "one of --before, --after and --at"),
        (("add", API, "x:y", "--set", "limit"), Exit.USAGE, "is no setting; write it like `limit=200`"),
        (("move", API, "x:y"), Exit.USAGE, "No such command"),
    ],
)
def test_an_edit_that_cannot_be_asked_for_says_why(shell: Shell, typed: tuple[str, ...], exit: Exit, why: str) -> None:
    action, *arguments = typed
    result = CliRunner().invoke(main, ["handler", action, f"--runtime-dir={shell.runtime}", *arguments])
    assert (result.exit_code, why in result.output) == (exit, True), result.output
    assert shell.control.requests == []


def test_an_edit_that_was_outrun_says_so(shell: Shell) -> None:
    shell.control.outrunning = True
    result = CliRunner().invoke(main, ["handler", "remove", f"--runtime-dir={shell.runtime}", API, "pricing:discount"])
    assert (result.exit_code, "look at it, then ask again" in result.output) == (Exit.REFUSED, True)


def test_status_names_what_is_edited(shell: Shell) -> None:
    assert "edited" not in shell("status").output
    shell.control.edited = (API,)
    assert f"edited {API} (not as the files say" in shell("status").output


def test_leaks_name_what_is_alive_where_and_what_holds_it(shell: Shell) -> None:
    assert shell("leaks").output.splitlines() == [
        "plugin pricing 1a2b3c since epoch 6: module pricing.py is alive, in slot 0, 1 (handing over)",
        "  held by module shop.HOOKS",
        "       -> list",
        "       -> function stop",
        "plugin pricing 1a2b3c since epoch 6: thread poller still runs, in slot 1 (handing over)",
        "3 older copies in slot 1 (handing over), which are not told by name any more",
        "plugin pricing: 2 copies at most in one worker",
        "! no answer from slot 3",
    ]
    assert list(leaks.lines(LeaksView(7))) == [
        "no leaks: what was released and looked for is gone; epoch 7 is committed"
    ]
    [silent] = leaks.lines(LeaksView(7, silent=(0, 1)))
    assert "no leaks" not in silent


def test_leases_history_and_explain_lay_out_what_is_kept(shell: Shell) -> None:
    shell.control.epoch = 8
    assert "7      websocket  4 min  1     4122  handing over  /live" in shell("leases").output
    assert "! no answer from slot 3" in shell("leases").output
    assert shell("history", "--limit", "2").output.splitlines()[1].startswith("8      serving")
    explained = shell("explain", "6").output
    assert 'File "plugins/pricing/pricing/__init__.py", line 41, in on_load' in explained
    assert f"  {AGAIN}" in explained.splitlines()
    assert f"  {ENDED}" in shell("explain", "7").output.splitlines()
    missing = shell("explain", "99")
    assert (missing.exit_code, "does not know epoch 99" in missing.output) == (Exit.REFUSED, True)


def test_diff_lays_out_what_differs_between_two_epochs(shell: Shell) -> None:
    assert shell("diff", "3", "7").output.splitlines() == [
        "epoch 3 -> epoch 7",
        "  + plugin geo  0.9.0 77aa0077aa00 since 7",
        "  plugin pricing  1.4.0 9c41ab9c41ab since 3 -> 1.5.0 5d02fe5d02fe since 7",
        "      configuration: currency",
        "      file + rules.toml",
        "      file pricing/__init__.py",
        "  + route /geo -> pipeline geo",
        "  address: + :80",
        "  1 other unit is the same",
    ]
    assert shell("diff", "3").output == shell("diff", "3", "7").output
    missing = shell("diff", "3", "99")
    assert (missing.exit_code, "does not know epoch 99" in missing.output) == (Exit.REFUSED, True)


def test_diff_without_an_epoch_is_about_what_is_on_disk(shell: Shell) -> None:
    same = shell("diff")
    assert same.output.splitlines() == [
        "epoch 7 -> on disk: the same, but for what is not taken",
        "  not taken: geo (disabled, changed on disk)",
    ]
    assert same.exit_code == Exit.DONE
    assert msgspec.json.decode(shell("diff", "--json").output)["after"] is None
    shell.control.refusing = True
    refused = shell("diff")
    assert refused.output.splitlines()[0] == "epoch 7; what is on disk is refused: 1 thing is wrong"
    assert "in on_load" in refused.output
    assert refused.exit_code == Exit.REFUSED


def test_scale_and_stop_ask_the_server(shell: Shell) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    shell.control.pid = child.pid
    assert shell("scale", "6").exit_code == Exit.DONE
    assert shell.control.slots == 6
    assert shell("stop", "--quick").output == "stopped\n"
    assert shell.control.stopped is Urgency.QUICK


def test_an_upgrade_is_asked_for_and_waited_for(shell: Shell) -> None:
    result = shell("upgrade", "--python", sys.executable)
    assert (result.exit_code, result.output) == (
        Exit.DONE,
        f"shop runs version {shell.control.status().version}; epoch 7 serves in 4 workers, as before\n",
    )
    assert [python for _, python in shell.control.upgrades] == [sys.executable]


def test_an_upgrade_that_is_refused_or_went_back_says_why(shell: Shell) -> None:
    shell.control.upgrade_refused = "no module named changeover"
    refused = shell("upgrade")
    assert (refused.exit_code, "no module named changeover" in refused.output) == (Exit.REFUSED, True)
    shell.control.upgrade_refused, shell.control.fell_back = "", "it ended with status 5 before it took over"
    back = shell("upgrade")
    assert (back.exit_code, "it ended with status 5" in back.output) == (Exit.REFUSED, True)


@pytest.mark.parametrize(
    ("python", "reason", "shown"),
    [
        ("", "the journal is full", "last   upgrade refused {at} by USR2: the journal is full"),
        (
            "/venv/bin/python",
            "it cannot take over: Traceback\n  File main.py\n    ImportError: no zmq",
            "last   upgrade to the program of /venv/bin/python refused {at} by USR2: "
            "it cannot take over: Traceback ... ImportError: no zmq",
        ),
    ],
    ids=["ours", "another one"],
)
def test_the_status_shows_the_last_upgrade_that_was_refused(shell: Shell, python: str, reason: str, shown: str) -> None:
    assert "upgrade" not in shell("status").output
    origin = Origin(Trigger.USR2, uid=0)
    shell.control.last_refused_upgrade = RefusedUpgrade(LONG_AGO, origin, python, reason)
    assert shown.format(at=clock(LONG_AGO, time.time())) in shell("status").output.splitlines()
    told = msgspec.json.decode(shell("status", "--json").output)["refused_upgrade"]
    assert (told["reason"], told["python"], told["origin"]["trigger"]) == (reason, python, "USR2")


def test_the_status_shows_what_was_refused_before_it_had_a_number(shell: Shell) -> None:
    shell.control.last_refused_request = RefusedRequest(LONG_AGO, Origin(Trigger.HUP), "$.wrokers: unknown key")
    shown = f"last   refused {clock(LONG_AGO, time.time())} by HUP: $.wrokers: unknown key"
    assert shown in shell("status").output.splitlines()
    told = msgspec.json.decode(shell("status", "--json").output)["refused_request"]
    assert (told["reason"], told["origin"]["trigger"]) == ("$.wrokers: unknown key", "HUP")


@contextmanager
def supervised(shell: Shell, monkeypatch: pytest.MonkeyPatch, then: Callable[[], object]) -> Iterator[None]:
    """Have a process of its own for a supervisor, which is killed once an upgrade was asked for, and then..."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    shell.control.pid = child.pid

    async def killed(origin: Origin, python: str) -> None:
        child.kill()
        then()

    monkeypatch.setattr(shell.control, "upgrade", killed)
    try:
        yield
    finally:
        child.communicate()


def test_an_upgrade_does_not_wait_for_a_supervisor_that_is_gone(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade, "BACK", 0.3)
    nowhere = shell.runtime / "nowhere.sock"
    with supervised(shell, monkeypatch, lambda: (shell.runtime / SOCKET_NAME).rename(nowhere)):
        result = shell("upgrade", "--wait", "60")
    assert (result.exit_code, f"supervisor {shell.control.pid} of shop has ended" in result.output) == (
        Exit.NO_SERVER,
        True,
    )
    assert "start it again with `changeover run`" in result.output


def test_an_upgrade_waits_for_a_supervisor_that_is_started_again(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade, "BACK", 30.0)
    socket, aside = shell.runtime / SOCKET_NAME, shell.runtime / "aside.sock"

    def started_again() -> None:
        socket.rename(aside)
        threading.Timer(0.5, lambda: aside.rename(socket)).start()
        shell.control.term += 1

    with supervised(shell, monkeypatch, started_again):
        assert shell("upgrade", "--wait", "60").exit_code == Exit.DONE


def test_an_upgrade_counts_the_silence_anew_after_every_answer(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade, "BACK", 1.0)
    socket, aside = shell.runtime / SOCKET_NAME, shell.runtime / "aside.sock"

    def is_ready() -> None:
        shell.control.term += 1
        aside.rename(socket)

    def started_again() -> None:
        socket.rename(aside)
        threading.Timer(0.3, lambda: aside.rename(socket)).start()
        threading.Timer(1.6, lambda: socket.rename(aside)).start()
        threading.Timer(1.9, is_ready).start()

    with supervised(shell, monkeypatch, started_again):
        assert shell("upgrade", "--wait", "60").exit_code == Exit.DONE


def test_a_count_with_a_sign_is_refused_where_it_would_mean_something_else(shell: Shell) -> None:
    assert "257 is not in the range 1<=x<=256" in shell("scale", "257").output
    result = shell("scale", "+1")
    assert (result.exit_code, shell.control.slots) == (Exit.USAGE, 4)
    assert "write how many there are to be" in result.output


def test_a_server_that_does_not_leave_ends_the_wait(shell: Shell) -> None:
    shell.control.pid = os.getpid()
    assert shell("stop", "--wait", "0.1").exit_code == Exit.WAIT_ENDED


def test_events_prints_what_is_kept(shell: Shell) -> None:
    shell.control.teller.tell(Scaled(4, 6))
    shell.control.teller.tell(EpochRetired(6))
    assert shell("events").output.splitlines()[0].endswith("info     4 -> 6 workers")
    after = shell("events", "--json", "--after", "1").output.splitlines()
    assert [msgspec.json.decode(line)["type"] for line in after] == ["EpochRetired"]


def test_followed_events_end_with_the_server(tmp_path: Path) -> None:
    control = FakeControl()
    control.teller.tell(EpochRetired(6))
    with serving(control, tmp_path):
        command = [sys.executable, "-m", "changeover.supervisor", "events", "--follow", f"--runtime-dir={tmp_path}"]
        follower = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert follower.stdout is not None
        assert "epoch 6 is retired" in follower.stdout.readline()
    _, errors = follower.communicate(timeout=10)
    assert (follower.returncode, "the server ended" in errors) == (Exit.NO_SERVER, True)


def test_a_command_of_its_own_process_exits_as_documented(shell: Shell) -> None:
    shell.control.refusing = True
    command = [sys.executable, "-m", "changeover.supervisor", "reload", f"--runtime-dir={shell.runtime}"]
    assert subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == Exit.REFUSED


def test_an_application_without_run_is_understood() -> None:
    result = CliRunner().invoke(main, ["shop.main:app", "-w", "4"])
    assert result.exit_code == Exit.USAGE
    assert "did you mean `changeover run shop.main:app -w 4`?" in result.output
    assert "did you mean `changeover reload`?" in CliRunner().invoke(main, ["relaod"]).output
    assert "did you mean `changeover run`?" in CliRunner().invoke(main, ["start"]).output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert "Exit status" in result.output


def test_help_imports_nothing_that_draws_or_serves() -> None:
    code = "import sys, changeover.supervisor.cli; print(*{'rich', 'uvicorn', 'starlette', 'zmq'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("flag", FOREIGN)
def test_a_flag_of_another_server_gets_a_hint(flag: str) -> None:
    result = CliRunner().invoke(main, ["run", flag, "app:app"])
    assert result.exit_code == Exit.USAGE
    assert FOREIGN[flag] in " ".join(result.output.split())


def test_no_hint_hides_a_flag_that_works() -> None:
    ours = {flag for parameter in run_command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    assert not ours & FOREIGN.keys()
