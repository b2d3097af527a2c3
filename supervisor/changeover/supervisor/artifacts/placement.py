"""Where a handler comes to stand when the handlers of a pipeline are edited. Pure."""

from collections.abc import Mapping, Sequence

from changeover.supervisor.config.handlers import ref_of
from changeover.supervisor.core.edits import Add, Remove, Replace
from changeover.supervisor.errors import SupervisorError
from changeover.workers.plugins.manifest import Handler
from changeover.workers.plugins.order import disorder
from changeover.workers.protocol.document import nearest
from changeover.workers.protocol.snapshot import HandlerRef

Handlers = tuple[HandlerRef, ...]
Declared = Mapping[HandlerRef, Handler]


class Misplaced(SupervisorError):
    """A step of an edit cannot be taken.

    Attributes:
        field: Which field of the step says so.
        reason: Why, and what would be right.
    """

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}")


def edited(handlers: Handlers, step: Add | Remove | Replace, declared: Declared) -> Handlers:
    """Take one step of an edit.

    Args:
        handlers: In request order.
        step: What to do; its handlers have no mistakes in themselves.
        declared: What is known of all handlers concerned; of one that is not in it nothing is.

    Raises:
        Misplaced: The step names what is not there, or leaves open where a handler belongs.
    """
    if isinstance(step, Add):
        new = ref_of(step.handler)
        at = _place(handlers, new, step, declared)
        return (*handlers[:at], new, *handlers[at:])
    at = _find(handlers, step.handler, "handler")
    put = (ref_of(step.by),) if isinstance(step, Replace) else ()
    return (*handlers[:at], *put, *handlers[at + 1 :])


def _place(handlers: Handlers, new: HandlerRef, step: Add, declared: Declared) -> int:
    if (step.before != "") + (step.after != "") + (step.at is not None) > 1:
        raise Misplaced("handler", "say one of `before`, `after` and `at`")
    if step.before:
        return _find(handlers, step.before, "before")
    if step.after:
        return _find(handlers, step.after, "after") + 1
    if step.at is None:
        return _only_place(handlers, new, declared)
    if not 0 <= step.at <= len(handlers):
        counted = f"places are counted from 0, and {len(handlers)} is the last"
        raise Misplaced("at", f"there is no place {step.at}: {counted}")
    return step.at


def _find(handlers: Handlers, name: str, field: str) -> int:
    places = [index for index, handler in enumerate(handlers) if str(handler) == name]
    if not places:
        known = ", ".join(map(str, handlers)) or "no handlers"
        raise Misplaced(field, f"{name} is not in this pipeline, which has {known}{nearest(name, map(str, handlers))}")
    if len(places) > 1:
        raise Misplaced(field, f"{name} stands in this pipeline {len(places)} times: edit its file")
    return places[0]


def _only_place(handlers: Handlers, new: HandlerRef, declared: Declared) -> int:
    """The end of its phase, when that is where it must be in regard of every handler that it meets."""
    legal = [at for at in range(len(handlers) + 1) if _fits(handlers, new, at, declared)]
    for index, other in enumerate(handlers):
        both = any(at <= index for at in legal) and any(at > index for at in legal)
        if both and _meet(new, other, declared):
            raise Misplaced(
                "handler",
                f"nothing says whether {new} comes before {other} or after it: say `before`, `after` or `at`",
            )
    return legal[-1] if legal else len(handlers)


def _fits(handlers: Sequence[HandlerRef], new: HandlerRef, at: int, declared: Declared) -> bool:
    return not any(disorder((*handlers[:at], new, *handlers[at:]), declared))


def _meet(one: HandlerRef, other: HandlerRef, declared: Declared) -> bool:
    """Whether the order of two handlers matters: they are of one phase and see the same way."""
    if one not in declared or other not in declared:
        return False
    first, second = declared[one], declared[other]
    return (first.phase, first.direction) == (second.phase, second.direction)
