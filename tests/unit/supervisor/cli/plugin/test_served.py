"""`changeover plugin` for those that serve."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from changeover.supervisor.cli import main
from changeover.supervisor.cli.exits import Exit
from changeover.supervisor.cli.overview import clock
from changeover.supervisor.cli.plugin.listing import HEADINGS, lines
from changeover.supervisor.core.edits import RemovePlugin
from changeover.supervisor.plugins import PluginsView
from tests.fake_control import FakeControl, serving


class Shell:
    """Types `changeover plugin` for one server."""

    def __init__(self, runtime: Path, control: FakeControl) -> None:
        self.runtime = runtime
        self.control = control

    def __call__(self, command: str, *arguments: str) -> Result:
        return CliRunner().invoke(main, ["plugin", command, f"--runtime-dir={self.runtime}", *arguments])


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    control = FakeControl()
    with serving(control, tmp_path):
        yield Shell(tmp_path, control)


def test_plugins_are_listed_with_what_serves_what_lies_on_disk_and_what_workers_have(shell: Shell) -> None:
    shell.control.silent = frozenset({3})
    result = shell("list")
    heads, pricing, tax, *alarms = result.output.splitlines()
    assert result.exit_code == Exit.DONE
    assert heads.split("  ")[0] == HEADINGS[0]
    assert pricing.startswith(
        "pricing  1.5.0    777777  7      1.6.0 888888 (changed)  1 draining since 6 (handing over), 3"
    )
    loaded, next_check = (clock(at, time.time()) for at in (1_700_000_000.0, 1_700_000_060.0))
    assert f"  {loaded}  every 60s  {next_check}  " in pricing
    assert pricing.endswith("/srv/shop/plugins/pricing")
    assert tax.split()[:5] == ["tax", "-", "-", "-", "broken"]
    assert alarms == ["! /srv/shop/plugins/tax.py: no id", "! no answer from slot 3"]


def test_plugins_as_json_are_what_the_server_says(shell: Shell) -> None:
    assert msgspec.json.decode(shell("list", "--json").output)["plugins"][0]["digest"] == "77" * 32


def test_no_plugins_and_a_disk_that_cannot_be_read_are_said() -> None:
    assert list(lines(PluginsView(7), 0.0)) == ["no plugins; epoch 7 is committed"]
    unread = list(lines(PluginsView(7, unread="it is gone"), 0.0))
    assert unread[-1] == "! what lies on disk is not known: it is gone"


def test_a_removal_is_asked_for_and_shown_like_any_cutover(shell: Shell) -> None:
    result = shell("remove", "pricing", "--label", "too dear", "--if-epoch", "7")
    assert result.exit_code == Exit.DONE
    assert "done  epoch 8 serves in all 4 workers" in result.output
    assert result.output.splitlines()[-1] == "  undo: changeover rollback --to 7"
    [request] = shell.control.requests
    assert (request.edit, request.origin.label, request.if_epoch) == (RemovePlugin("pricing"), "too dear", 7)


def test_a_removal_can_be_looked_at_first(shell: Shell) -> None:
    assert shell("remove", "pricing", "--dry-run").exit_code == Exit.DONE
    assert (shell.control.requests[0].dry_run, shell.control.epoch) == (True, 7)


def test_a_removal_of_an_unknown_plugin_names_those_that_serve(shell: Shell) -> None:
    result = shell("remove", "prcing")
    assert result.exit_code == Exit.REFUSED
    assert "no plugin prcing serves: there are pricing" in result.output
