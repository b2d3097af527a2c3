"""Words for an upgrade of the supervisor itself."""

from changeover.supervisor.core import upgrade_records as told
from changeover.supervisor.telemetry.amounts import seconds
from changeover.supervisor.telemetry.stream import Level
from changeover.supervisor.telemetry.worded import Worded


def began(record: told.UpgradeBegan) -> Worded:
    """That it is asked for."""
    program = f" by the program of {record.python}" if record.python else ""
    return Worded(Level.INFO, f"the supervisor is to be replaced{program}: trying that in a child")


def waits(record: told.UpgradeWaits) -> Worded:
    """What goes first."""
    limit = seconds(record.seconds)
    return Worded(Level.INFO, f"version {record.version} is fit; the cutover that runs goes first, for {limit} at most")


def refused(record: told.UpgradeRefused) -> Worded:
    """That nothing comes of it."""
    return Worded(Level.ERROR, f"the supervisor is not replaced, and goes on: {record.reason}")


def executed(record: told.UpgradeExecuted) -> Worded:
    """The last word of a program."""
    return Worded(Level.INFO, f"the supervisor becomes version {record.version}; workers serve on")


def upgraded(record: told.Upgraded) -> Worded:
    """The first word of the next one."""
    return Worded(
        Level.INFO, f"the supervisor was upgraded from version {record.before} to {record.version}, {record.python}"
    )


def fell_back(record: told.FellBack) -> Worded:
    """That the program before runs again."""
    return Worded(Level.ERROR, f"the new program did not take over ({record.reason}): the one before runs again")


WORDS = (began, waits, refused, executed, upgraded, fell_back)
"""One for each record."""
