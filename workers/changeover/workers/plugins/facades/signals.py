"""`signal`, for several versions of a plugin in one process: who ends takes nothing of another's along.

Handlers of plugins lie above each other, and the latest one is the process's. When one ends, that
which lies below is the process's again; at the bottom is what there was before any plugin. No
version gets to see another one's handler, and so none keeps another alive.
"""

import signal
from typing import Any

from changeover.workers.plugins.facades.facade import Facade, Modules
from changeover.workers.serving.attribution import Handling, UnitWork

Handler = Any
"""What `signal.signal` takes and gives."""


class _Stack:
    """The handlers of plugins for one signal.

    Args:
        below: What there was before any of them.
    """

    def __init__(self, below: Handler) -> None:
        self.below = below
        self.handlings: list[Handling] = []

    @property
    def top(self) -> Handler:
        return self.handlings[-1].handler if self.handlings else self.below


_stacks: dict[int, _Stack] = {}


def facade(modules: Modules) -> Facade:
    """What the code of `modules` sees as `signal`."""
    work = modules.work

    def set_handler(number: int, handler: Handler, /) -> Handler:
        """Set a handler until this version of the plugin ends; what it set before, or what any program would see."""
        stack = _stack(number)
        own = _own(stack, work)
        seen = _seen(stack, own, number)
        covered = own is not None and own is not stack.handlings[-1]
        if not covered or handler is not stack.below:
            signal.signal(number, handler)
        if own is not None:
            _drop(stack, own, work)
        if handler is not stack.below:
            handling = Handling(int(number), signal.getsignal(number))
            stack.handlings.append(handling)
            work.signals.append(handling)
        _keep(number, stack)
        return seen

    def get_handler(number: int, /) -> Handler:
        """The handler that this version set, or what any program would see."""
        stack = _stack(number)
        return _seen(stack, _own(stack, work), number)

    return Facade(signal, signal=set_handler, getsignal=get_handler)


def undo(work: UnitWork) -> list[str]:
    """Take back the handlers that a unit's code set.

    Returns:
        What could not be taken back, by name: outside of the main thread nothing can.
    """
    for handling in list(work.signals):
        stack = _stack(handling.number)
        if handling is stack.handlings[-1] and signal.getsignal(handling.number) is handling.handler:
            below = stack.handlings[-2].handler if len(stack.handlings) > 1 else stack.below
            try:
                signal.signal(handling.number, signal.SIG_DFL if below is None else below)
            except ValueError:
                continue
        _drop(stack, handling, work)
        _keep(handling.number, stack)
    return [f"handler of signal {each.number}" for each in work.signals]


def _stack(number: int) -> _Stack:
    """The handlers for a signal; one that somebody else set since lies below them all."""
    now = signal.getsignal(number)
    stack = _stacks.get(int(number)) or _Stack(now)
    if now is not stack.top:
        stack.below = now
    return stack


def _keep(number: int, stack: _Stack) -> None:
    if stack.handlings:
        _stacks[int(number)] = stack
    else:
        _stacks.pop(int(number), None)


def _seen(stack: _Stack, own: Handling | None, number: int) -> Handler:
    return own.handler if own is not None and signal.getsignal(number) is stack.top else stack.below


def _own(stack: _Stack, work: UnitWork) -> Handling | None:
    return next((each for each in stack.handlings if each in work.signals), None)


def _drop(stack: _Stack, handling: Handling, work: UnitWork) -> None:
    stack.handlings.remove(handling)
    work.signals.remove(handling)
