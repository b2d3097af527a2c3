"""State machines as data: what a state turns into is written in a table and nowhere else.

A machine works out *which* cause an event amounts to (guards are pure functions beside the table)
and asks its table what follows. A cause that the table does not list for a state is a bug of ours,
unless a peer may send whatever it likes whenever it likes: then it is counted and without effect.
"""

import enum
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

from changeover.workers.errors import ChangeoverError

S = TypeVar("S", bound=enum.Enum)
C = TypeVar("C", bound=enum.Enum)


class BugFound(ChangeoverError):
    """Our own code did what its tables forbid. Report it; the process is not to be trusted any more.

    Attributes:
        where: The table, or the part of the machine.
        state: The state it was in.
        cause: What happened in it.
    """

    def __init__(self, where: str, state: str, cause: str) -> None:
        self.where = where
        self.state = state
        self.cause = cause
        super().__init__(f"bug in {where}: {cause!r} is not possible while {state!r}; please report it")


class Table(Generic[S, C]):
    """The whole law of one state machine.

    Args:
        name: What it is the law of.
        start: Where it begins.
        transitions: State -> cause -> next state. A state without causes is final.

    Attributes:
        name: What it is the law of.
        start: Where it begins.
        transitions: As given.
    """

    __slots__ = ("_following", "name", "start", "transitions")

    def __init__(self, name: str, start: S, transitions: Mapping[S, Mapping[C, S]]) -> None:
        self.name = name
        self.start = start
        self.transitions = transitions
        # By identity: members are singletons, and hashing one runs code of the interpreter's library.
        self._following = {
            id(state): {id(cause): following for cause, following in causes.items()}
            for state, causes in transitions.items()
        }

    def after(self, state: S, cause: C) -> S:
        """The state that follows.

        Raises:
            BugFound: The table does not list `cause` for `state`.
        """
        following = self._following[id(state)].get(id(cause))
        if following is None:
            raise BugFound(self.name, state.value, cause.value)
        return following

    def lists(self, state: S, cause: C) -> bool:
        """Whether `cause` can happen in `state`; asked before `after` when a peer is behind it."""
        return id(cause) in self._following[id(state)]

    def rows(self) -> Iterator[tuple[S, C, S]]:
        """Every transition: state, cause, next state."""
        for state, causes in self.transitions.items():
            for cause, following in causes.items():
                yield state, cause, following
