"""The lifecycle of a plugin instance: forward only, as a table.

    Loaded -> Linked -> Initialized -> Active -> Draining -> Removed

A new content is a new instance that starts at Loaded; no instance ever moves back. A candidate
that is not committed is unwound: what was done for it is undone in reverse (`UNDO`), and it ends
in Removed like one that served. An instance that serves cannot be unwound, only drained.
"""

import enum
from collections.abc import Callable

from changeover.workers.errors import ChangeoverError


class State(enum.Enum):
    """How far an instance has come."""

    LOADED = "Loaded"
    """Its files are read and its manifest is understood; its modules may be in memory."""
    LINKED = "Linked"
    """Its instance exists, with its configuration, and its handlers are found and fit the manifest."""
    INITIALIZED = "Initialized"
    """`on_load` or `on_reload` returned: it can serve from the next request on."""
    ACTIVE = "Active"
    """The generation that serves contains it."""
    DRAINING = "Draining"
    """The generation that serves lacks it; leases may still hold it."""
    REMOVED = "Removed"
    """Nothing of it is left here."""


class Step(enum.Enum):
    """What moves an instance."""

    LINK = "link"
    INITIALISE = "initialise"
    ACTIVATE = "activate"
    DRAIN = "drain"
    REMOVE = "remove"
    UNWIND = "unwind"
    """The candidate is refused or aborted."""


class Undo(enum.Enum):
    """One thing to undo when an instance ends."""

    UNLOAD_HOOK = "on_unload"
    DROP_INSTANCE = "drop the instance"
    DROP_MODULES = "drop the modules"


TRANSITIONS: dict[tuple[State, Step], State] = {
    (State.LOADED, Step.LINK): State.LINKED,
    (State.LINKED, Step.INITIALISE): State.INITIALIZED,
    (State.INITIALIZED, Step.ACTIVATE): State.ACTIVE,
    (State.ACTIVE, Step.DRAIN): State.DRAINING,
    (State.DRAINING, Step.REMOVE): State.REMOVED,
    (State.LOADED, Step.UNWIND): State.REMOVED,
    (State.LINKED, Step.UNWIND): State.REMOVED,
    (State.INITIALIZED, Step.UNWIND): State.REMOVED,
}

_WHOLE = (Undo.UNLOAD_HOOK, Undo.DROP_INSTANCE, Undo.DROP_MODULES)

UNDO: dict[State, tuple[Undo, ...]] = {
    State.LOADED: (Undo.DROP_MODULES,),
    State.LINKED: (Undo.DROP_INSTANCE, Undo.DROP_MODULES),
    State.INITIALIZED: _WHOLE,
    State.DRAINING: _WHOLE,
}
"""State in which an instance ends -> what is undone, in this order: the reverse of how it was done."""


class IllegalStep(ChangeoverError):
    """An instance was asked for a step that its state does not allow.

    Attributes:
        unit: The instance.
        current: Its state, which stays.
        step: What was asked for.
    """

    def __init__(self, unit: str, current: State, step: Step) -> None:
        self.unit = unit
        self.current = current
        self.step = step
        allowed = [known.value for state, known in TRANSITIONS if state is current]
        super().__init__(
            f"{unit} is {current.value}, which allows {' or '.join(allowed) or 'nothing'}, not {step.value}"
        )


def _untold(_: State) -> None:
    return None


class Lifecycle:
    """Where one instance stands.

    Args:
        unit: Its name, for messages.
        moved: Told of every state that it comes to.

    Attributes:
        state: How far it has come.
    """

    __slots__ = ("_moved", "state", "unit")

    def __init__(self, unit: str, moved: Callable[[State], None] = _untold) -> None:
        self.unit = unit
        self._moved = moved
        self.state = State.LOADED

    def advance(self, step: Step) -> State:
        """Take a step.

        Raises:
            IllegalStep: The current state does not allow it; nothing changes.
        """
        following = TRANSITIONS.get((self.state, step))
        if following is None:
            raise IllegalStep(self.unit, self.state, step)
        self.state = following
        self._moved(following)
        return following

    def end(self) -> tuple[Undo, ...]:
        """Move to Removed, from a candidate that is unwound or from Draining, and say what there is to undo.

        Raises:
            IllegalStep: It is Active, or Removed already.
        """
        undo = UNDO.get(self.state, ())
        self.advance(Step.REMOVE if self.state in (State.DRAINING, State.REMOVED) else Step.UNWIND)
        return undo
