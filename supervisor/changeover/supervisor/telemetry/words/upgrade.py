"""Words for an upgrade of the supervisor itself."""

from changeover.supervisor.core.records.upgrade import (
    FellBack,
    UpgradeBegan,
    Upgraded,
    UpgradeExecuted,
    UpgradeRefused,
    UpgradeWaits,
)
from changeover.supervisor.telemetry.amounts import seconds
from changeover.supervisor.telemetry.worded import ERROR, INFO, Worded, word


@word.register
def _(record: UpgradeBegan) -> Worded:
    program = f" by the program of {record.python}" if record.python else ""
    return Worded(INFO, f"the supervisor is to be replaced{program}: trying that in a child")


@word.register
def _(record: UpgradeWaits) -> Worded:
    limit = seconds(record.seconds)
    return Worded(INFO, f"version {record.version} is fit; the cutover that runs goes first, for {limit} at most")


@word.register
def _(record: UpgradeRefused) -> Worded:
    return Worded(ERROR, f"the supervisor is not replaced, and goes on: {record.reason}")


@word.register
def _(record: UpgradeExecuted) -> Worded:
    return Worded(INFO, f"the supervisor becomes version {record.version}; workers serve on")


@word.register
def _(record: Upgraded) -> Worded:
    return Worded(
        INFO, f"the supervisor was upgraded from version {record.before} to {record.version}, {record.python}"
    )


@word.register
def _(record: FellBack) -> Worded:
    return Worded(ERROR, f"the new program did not take over ({record.reason}): the one before runs again")
