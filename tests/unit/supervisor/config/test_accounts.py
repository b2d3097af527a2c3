"""Users and groups as people write them, looked up in the system."""

import grp
import os
import pwd
from pathlib import Path

import pytest

from changeover.supervisor.config.accounts import Account, account_of, mistakes
from changeover.supervisor.config.load import check
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.config.sources import Source

ROOT = pwd.getpwuid(0)
FREE = next(number for number in range(40_000, 60_000) if number not in {entry.pw_uid for entry in pwd.getpwall()})


def test_nothing_said_is_nobody_else() -> None:
    assert account_of(Settings()) is None


def test_a_user_comes_with_its_group_all_its_groups_and_its_home() -> None:
    found = account_of(Settings(user=ROOT.pw_name))
    assert found == Account(0, ROOT.pw_gid, tuple(sorted(os.getgrouplist(ROOT.pw_name, 0))), ROOT.pw_name, ROOT.pw_dir)
    assert account_of(Settings(user="0")) == found
    assert found is not None
    assert found.environment() == {"HOME": ROOT.pw_dir, "USER": ROOT.pw_name, "LOGNAME": ROOT.pw_name}


def test_a_group_can_be_another_one() -> None:
    other = next(entry for entry in grp.getgrall() if entry.gr_gid != ROOT.pw_gid)
    for written in (other.gr_name, str(other.gr_gid)):
        found = account_of(Settings(user=ROOT.pw_name, group=written))
        assert found is not None
        assert found.gid == other.gr_gid
        assert other.gr_gid in found.groups


def test_a_group_alone_leaves_the_user_as_it_is() -> None:
    found = account_of(Settings(group=str(os.getegid())))
    assert found is not None
    assert found.is_ours


def test_a_number_without_an_entry_is_a_user_whose_group_has_to_be_said() -> None:
    assert account_of(Settings(user=str(FREE), group="7")) == Account(FREE, 7, (7,), str(FREE))
    [mistake] = mistakes(Settings(user=str(FREE)))
    assert (mistake.path, mistake.message) == (
        "$.group",
        f"missing: user {FREE} has no entry that says which group it belongs to",
    )


@pytest.mark.parametrize("number", [str(2**32 - 1), str(2**70)])
def test_a_number_that_no_user_can_have_is_refused(number: str) -> None:
    assert [mistake.path for mistake in mistakes(Settings(user=number, group="7"))] == ["$.user"]
    assert [mistake.path for mistake in mistakes(Settings(group=number))] == ["$.group"]


def test_whom_the_system_does_not_know_is_an_error_of_the_configuration(tmp_path: Path) -> None:
    text = 'user = "no-such-user"\numask = "9"\n[app]\ntarget = "a:b"\n'
    (tmp_path / "changeover.toml").write_text(text)
    found = [(error.path, error.message) for error in check(Source(folder=tmp_path)).errors]
    assert found == [
        ("$.umask", "'9' is no octal number like `027`"),
        ("$.user", "this system has no user 'no-such-user'"),
    ]
    assert mistakes(Settings(group="no-such-group"))[0].message == "this system has no group 'no-such-group'"
