"""What a running supervisor cannot answer, and why."""

from collections.abc import Sequence

from changeover.supervisor.core.unstaffed import IN_PARTS, scale_refused
from changeover.supervisor.errors import SupervisorError


class ControlError(SupervisorError):
    """Something that was asked of a running supervisor cannot be answered."""


class UnknownSlot(ControlError):
    """There is no such slot.

    Attributes:
        slot: The number asked for.
        slots: Those that there are.
    """

    def __init__(self, slot: int, slots: Sequence[int]) -> None:
        self.slot = slot
        self.slots = tuple(slots)
        super().__init__(f"there is no slot {slot}: there are {', '.join(map(str, slots))}")


class UnknownPipeline(ControlError):
    """The generation that serves has no pipeline of that name.

    Attributes:
        name: The name asked for.
        names: Those that there are.
    """

    def __init__(self, name: str, names: Sequence[str]) -> None:
        self.name = name
        self.names = tuple(names)
        super().__init__(f"there is no pipeline {name}: there are {', '.join(names) or 'none'}")


class HandlersInCode(ControlError):
    """The pipeline is a raw protocol's, whose handlers its initializer registers.

    Attributes:
        name: The name asked for.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"pipeline {name} is a raw protocol's: its initializer registers the handlers; change the plugin"
            " and ask for a reload"
        )


class UnknownPlugin(ControlError):
    """The generation that serves has no plugin of that id.

    Attributes:
        plugin: The id asked for.
        plugins: Those that there are.
    """

    def __init__(self, plugin: str, plugins: Sequence[str]) -> None:
        self.plugin = plugin
        self.plugins = tuple(plugins)
        super().__init__(f"no plugin {plugin} serves: there are {', '.join(plugins) or 'none'}")


class UnknownEpoch(ControlError):
    """The journal does not know the epoch: it was never given, or its history was not kept.

    Attributes:
        epoch: The number asked for.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        super().__init__(f"the journal does not know epoch {epoch}; `changeover history` lists those it keeps")


class NothingToRollBack(ControlError):
    """No earlier committed content is kept."""

    def __init__(self) -> None:
        super().__init__("there is no earlier committed epoch to go back to; `changeover history` lists what is kept")


class UpgradeRefused(ControlError):
    """The supervisor goes on with the program that it runs.

    Attributes:
        reason: Why.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the supervisor is not upgraded, it goes on as it is: {reason}")


class InterpreterNotYours(ControlError):
    """Another interpreter would run as the supervisor's user, and somebody else asks for it."""

    def __init__(self) -> None:
        super().__init__("an interpreter can be chosen by root and by the supervisor's own user only: leave out python")


class SlotEmpty(ControlError):
    """The slot has no serving worker that could answer.

    Attributes:
        slot: The slot asked.
    """

    def __init__(self, slot: int) -> None:
        self.slot = slot
        super().__init__(f"slot {slot} has no serving worker now; `changeover status` says why")


class WorkerSilent(ControlError):
    """A worker did not answer within its deadline.

    Attributes:
        slot: The slot asked.
        seconds: How long it was waited for.
    """

    def __init__(self, slot: int, seconds: float) -> None:
        self.slot = slot
        self.seconds = seconds
        super().__init__(f"the worker in slot {slot} did not answer within {seconds:g} s")


class NoRoom(ControlError):
    """There are not enough slot numbers for so many workers.

    Attributes:
        slots: How many were wanted.
        most: How many can be had.
    """

    def __init__(self, slots: int, most: int) -> None:
        self.slots = slots
        self.most = most
        super().__init__(scale_refused(slots, most))


class InParts(ControlError):
    """A roll in parts is under way."""

    def __init__(self) -> None:
        super().__init__(IN_PARTS)


class Stopping(ControlError):
    """The supervisor is on its way out and starts nothing new."""

    def __init__(self) -> None:
        super().__init__("the server is stopping and starts nothing new")
