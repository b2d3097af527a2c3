"""What operators hear of an upgrade of the supervisor itself."""

from changeover.supervisor.core.entries import Origin
from changeover.supervisor.core.records.record import Record


class UpgradeBegan(Record, frozen=True):
    """The supervisor is to be replaced: the new program is tried in a child.

    Attributes:
        origin: Who asked.
        python: The interpreter that is to run it; empty for the one that runs now.
    """

    origin: Origin
    python: str


class UpgradeWaits(Record, frozen=True):
    """The new program is fit; a cutover that is under way goes first.

    Attributes:
        version: Of the new program.
        seconds: How long it may take; past that it is aborted.
    """

    version: str
    seconds: float


class UpgradeRefused(Record, frozen=True):
    """The supervisor is not replaced: the one that runs goes on. `status` shows the last one.

    Attributes:
        reason: Why not.
        origin: Who asked.
        python: The interpreter that was to run the new program; empty for the one that runs now.
    """

    reason: str
    origin: Origin
    python: str


class UpgradeExecuted(Record, frozen=True):
    """The supervisor executes the new program now; workers serve on meanwhile.

    Attributes:
        version: Of the new program.
    """

    version: str


class Upgraded(Record, frozen=True):
    """This supervisor took over from the one before, in the same process.

    Attributes:
        before: Version of the program before.
        version: Version of this one.
        python: The interpreter that runs it.
    """

    before: str
    version: str
    python: str


class FellBack(Record, frozen=True):
    """The new program was executed and did not come up: the one before runs again. Needs somebody."""

    reason: str
