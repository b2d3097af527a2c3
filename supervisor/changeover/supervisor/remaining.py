"""What workers still hold of any epoch, and what they released and still have."""

import msgspec

from changeover.supervisor.control import SlotState
from changeover.workers.protocol.messages import LeaseView
from changeover.workers.protocol.plugin_messages import LeakView


class SlotLeases(msgspec.Struct, frozen=True):
    """What one worker's requests, streams and tasks hold, oldest first.

    Attributes:
        slot: Its number.
        pid: Of its worker.
        leases: What each of them holds.
        state: What its worker does: `handing over` and `stopping` are those that leave.
    """

    slot: int
    pid: int
    leases: tuple[LeaseView, ...]
    state: SlotState = SlotState.SERVING


class LeasesView(msgspec.Struct, frozen=True):
    """Who holds which epoch.

    Attributes:
        epoch: The committed epoch; leases on others keep old units.
        slots: One for each worker that answered, those that leave included.
        silent: Slots whose worker did not answer in time.
    """

    epoch: int
    slots: tuple[SlotLeases, ...] = ()
    silent: tuple[int, ...] = ()


class SlotLeaks(msgspec.Struct, frozen=True):
    """What one worker released and still has.

    Attributes:
        slot: Its number.
        pid: Of its worker.
        leaks: What is not gone, as the latest collection showed.
        resident: Unit -> copies that are alive in it, the one that serves included.
        unnamed: Further copies that are not gone, too many to be told by name.
        state: What its worker does: `handing over` and `stopping` are those that leave.
    """

    slot: int
    pid: int
    leaks: tuple[LeakView, ...]
    resident: dict[str, int] = {}
    unnamed: int = 0
    state: SlotState = SlotState.SERVING


class LeaksView(msgspec.Struct, frozen=True):
    """What was released and is not gone.

    Attributes:
        epoch: The committed epoch.
        slots: One for each worker that answered, those that leave included.
        silent: Slots whose worker did not answer in time.
    """

    epoch: int
    slots: tuple[SlotLeaks, ...] = ()
    silent: tuple[int, ...] = ()
