"""From an exception to a refusal that a person can act on."""

import errno
import importlib
import socket
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from changeover.workers.errors import ChangeoverError
from changeover.workers.pinned.announced import AnnouncedDiffers, AnnouncedHidden
from changeover.workers.pinned.distributions import DistributionsDiffer
from changeover.workers.pinned.importer import OtherContentPinned
from changeover.workers.plugins.api import ConfigUnusable
from changeover.workers.plugins.artifact import ArtifactError
from changeover.workers.plugins.manifest_reading import ManifestInvalid
from changeover.workers.plugins.opened import OPENED
from changeover.workers.plugins.reasons import DEEPEST, is_every_address_refused, reason_of
from changeover.workers.plugins.resources import ResourceUnusable
from changeover.workers.plugins.taken import advised
from changeover.workers.plugins.thread import ThreadHung
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.serving.application import ApplicationNotLoaded
from changeover.workers.serving.late import HookBlocked, HookTimeout
from changeover.workers.serving.lifespan import LifespanFailed

MAX_TRACEBACK = 32 * 1024
"""Most characters of a traceback that travel with a refusal; the end is kept."""

_HERE = str(Path(__file__).parents[1])
_MACHINERY = (_HERE, "<frozen importlib", importlib.__file__)
_INSTALLED = tuple(f"{sysconfig.get_path(name)}/" for name in ("purelib", "platlib"))
"""Nobody who reads a refusal wrote what lies here, also where a virtual environment lies beside what he wrote."""
_TRANSIENT = frozenset(
    {
        errno.EAGAIN,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOBUFS,
        errno.ENOMEM,
        errno.ENOSPC,
        errno.EADDRINUSE,
        errno.EADDRNOTAVAIL,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EIO,
    }
)


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose code is to be named.

    Attributes:
        root: The folder that its files lie in; names are told relative to it.
        package: Private prefix of its modules, left out of every text; empty for none.
    """

    root: Path
    package: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """What was going on.

    Attributes:
        stage: How far the candidate came.
        unit: The unit, as its `UnitRef` reads.
        hook: The hook that is running, empty when none is.
        origin: Whose code is running.
    """

    stage: Stage
    unit: str
    hook: str = ""
    origin: Origin | None = None


class Refused(ChangeoverError):
    """A candidate is refused.

    Attributes:
        refusal: The reason, as it travels.
    """

    def __init__(self, refusal: Refusal) -> None:
        self.refusal = refusal
        super().__init__(f"{refusal.unit} {refusal.hook}: {refusal.summary}".replace("  ", " "))


class ContractBroken(ChangeoverError):
    """A plugin's code is not what its manifest or the plugin API says.

    Attributes:
        fact: What is wrong, and what would be right.
    """

    def __init__(self, fact: str) -> None:
        self.fact = fact
        super().__init__(fact)


class HookUnfit(ContractBroken):
    """A hook of a plugin cannot be called as the plugin API calls it.

    Attributes:
        stack: Where it is defined.
    """

    def __init__(self, fact: str, stack: traceback.StackSummary) -> None:
        self.stack = stack
        super().__init__(fact)


class ConfigRejected(ChangeoverError):
    """A plugin's configuration does not fit the Struct that its manifest names.

    Attributes:
        plugin: Its id.
        reason: What does not fit, with its path.
    """

    def __init__(self, plugin: str, reason: str) -> None:
        self.plugin = plugin
        self.reason = reason
        super().__init__(f"its configuration, `config` of [plugins.{plugin}], does not fit: {reason}")


class StateTooLarge(ChangeoverError):
    """A plugin exported more state than goes over to the content that replaces it.

    Attributes:
        size: How much, in bytes.
        most: How much goes over.
    """

    def __init__(self, size: int, most: int) -> None:
        self.size = size
        self.most = most
        whole = (
            f"export_state gave {size / 2**20:.1f} MiB, and at most {most / 2**20:g} MiB go over to the next content"
        )
        super().__init__(f"{whole}; keep what is larger outside of the process")


def fault_of(error: BaseException) -> Fault:
    """Whose fault an error is, and so whether the same content is worth another try.

    Its class says so, or says nothing: then what it was raised for is asked (`reason_of`), and what that was for. Of a
    reason only what may pass is believed: a timeout before all else, then a want of memory, network or room. A group
    may pass if everything in it may. A class of ours that says whose fault it is stands by that, and so do Python's own
    (ImportError, PermissionError), unless they were raised `from` what may pass.
    """
    if isinstance(error, LifespanFailed) and error.__cause__ is not None:
        return fault_of(error.__cause__)
    return _fault(error, {}, DEEPEST)


def _fault(error: BaseException, known: dict[int, Fault], depth: int) -> Fault:
    if id(error) not in known:
        known[id(error)] = own = _own_fault(error)
        if depth and _may_be_excused(error, own):
            behind = _fault_behind(error, known, depth - 1)
            known[id(error)] = behind if behind.transient else own
    return known[id(error)]


def _may_be_excused(error: BaseException, own: Fault) -> bool:
    if own is Fault.TIMEOUT or isinstance(error, Refused):
        return False
    said = error.__cause__ is not None and not isinstance(error, ChangeoverError)
    return said or own in (Fault.CRASH, Fault.RESOURCE)


def _fault_behind(error: BaseException, known: dict[int, Fault], depth: int) -> Fault:
    reason = reason_of(error)
    within = error.exceptions if isinstance(error, BaseExceptionGroup) else (reason,) if reason is not None else ()
    faults = {_fault(each, known, depth) for each in within}
    if not all(fault.transient for fault in faults):
        return Fault.CRASH
    return next((fault for fault in (Fault.TIMEOUT, Fault.RESOURCE) if fault in faults), Fault.CRASH)


def _own_fault(error: BaseException) -> Fault:
    """What an error says itself; CRASH where that is nothing."""
    if isinstance(error, Refused):
        return error.refusal.fault
    for fault, kinds in _FAULTS:
        if isinstance(error, kinds):
            return fault
    if isinstance(error, OSError) and (error.errno in _TRANSIENT or is_every_address_refused(error)):
        return Fault.RESOURCE
    return Fault.CRASH


_FAULTS: tuple[tuple[Fault, tuple[type[BaseException], ...]], ...] = (
    (Fault.CONFIG, (ConfigRejected, ConfigUnusable)),
    (Fault.TIMEOUT, (ThreadHung, HookTimeout, HookBlocked, TimeoutError)),
    (
        Fault.CONTRACT,
        (
            ContractBroken,
            ManifestInvalid,
            ResourceUnusable,
            ApplicationNotLoaded,
            AnnouncedDiffers,
            AnnouncedHidden,
            DistributionsDiffer,
            OtherContentPinned,
            ImportError,
            SyntaxError,
        ),
    ),
    (Fault.RESOURCE, (ArtifactError, StateTooLarge, MemoryError, ConnectionError, socket.gaierror)),
    (Fault.CAPABILITY, (PermissionError,)),
)


def refusal_of(error: BaseException, site: Site) -> Refusal:
    """Word `error` as a refusal. Keeps no reference to it, its frames, or anything that lives."""
    if isinstance(error, Refused):
        return error.refusal
    told = traceback.TracebackException.from_exception(error)
    where, source = _place(told, error, site.origin)
    _trim(told, site.origin)
    text = _stack_text(error, site.origin) + "".join(told.format())
    return Refusal(
        stage=site.stage,
        fault=_judged(error, where, site),
        summary=_private(_explained(error, site.origin) or advised(_summary(error, told)), site.origin),
        unit=site.unit,
        hook=site.hook,
        where=where,
        source=source,
        traceback=_private(text, site.origin)[-MAX_TRACEBACK:],
    )


def _judged(error: BaseException, where: str, site: Site) -> Fault:
    fault = fault_of(error)
    ours = fault is Fault.CRASH and not where and error.__traceback__ is not None and isinstance(error, Exception)
    return Fault.INTERNAL if ours and site.origin is None else fault


def _explained(error: BaseException, origin: Origin | None) -> str:
    """The summary where a library asked for a module by a plugin's own name; else empty."""
    modules = OPENED.get(origin.package) if origin is not None else None
    outside = modules.asked_outside(error) if modules and isinstance(error, ModuleNotFoundError) else ""
    return f"{type(error).__name__}: {outside}" if outside else ""


def _summary(error: BaseException, told: traceback.TracebackException) -> str:
    if isinstance(error, LifespanFailed) and "\n" in error.reason:
        return f"lifespan {error.phase.value} failed: {error.reason.strip().splitlines()[-1]}"
    if isinstance(error, ChangeoverError):
        return str(error)
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    return "".join(told.format_exception_only()).strip()


def _place(told: traceback.TracebackException, error: BaseException, origin: Origin | None) -> tuple[str, str]:
    """`file:line` and the line itself, innermost in the origin's own code."""
    if origin is None:
        return "", ""
    if isinstance(error, SyntaxError) and error.filename and _is_own(error.filename, origin):
        return f"{_relative(error.filename, origin)}:{error.lineno}", (error.text or "").strip()
    stacks = [*_stacks(told)]
    if (late := _where_it_was(error)) is not None:
        stacks.insert(0, late)
    for stack in stacks:
        for frame in reversed(stack):
            if _is_own(frame.filename, origin):
                return f"{_relative(frame.filename, origin)}:{frame.lineno}", (frame.line or "").strip()
    return "", ""


def _is_own(filename: str, origin: Origin) -> bool:
    root = f"{origin.root}/"
    elsewhere = [folder for folder in _INSTALLED if not root.startswith(folder)]
    return filename.startswith(root) and not filename.startswith((*_MACHINERY, *elsewhere))


def _stacks(told: traceback.TracebackException) -> Iterator[traceback.StackSummary]:
    for each in _chain(told):
        yield each.stack


def _chain(told: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    pending: list[traceback.TracebackException | None] = [told]
    while pending:
        each = pending.pop()
        if each is not None:
            yield each
            pending += [each.__context__, each.__cause__, *(each.exceptions or ())]


def _trim(told: traceback.TracebackException, origin: Origin | None) -> None:
    """Leave out our own frames and the import machinery's, and name files as people know them."""
    for each in _chain(told):
        each.stack = traceback.StackSummary.from_list(list(_known(each.stack, origin)))
        if origin is not None and getattr(each, "filename", None):
            each.filename = _relative(each.filename, origin)


def _known(stack: Iterable[traceback.FrameSummary], origin: Origin | None) -> Iterator[traceback.FrameSummary]:
    for frame in stack:
        if frame.filename.startswith(_MACHINERY):
            continue
        name = _relative(frame.filename, origin) if origin else frame.filename
        yield traceback.FrameSummary(name, frame.lineno, frame.name, line=frame.line, lookup_line=False)


def _stack_text(error: BaseException, origin: Origin | None) -> str:
    late = _where_it_was(error)
    if late is None:
        return ""
    known = traceback.StackSummary.from_list(list(_known(late, origin)))
    return "Where it was (most recent call last):\n" + "".join(known.format())


def _where_it_was(error: BaseException) -> traceback.StackSummary | None:
    """Where code was that missed its deadline, or stands that cannot run; None of every other error."""
    late = error.__cause__ if isinstance(error, LifespanFailed) else error
    return late.stack if isinstance(late, ThreadHung | HookTimeout | HookUnfit) else None


def _relative(filename: str | None, origin: Origin) -> str:
    return (filename or "").removeprefix(f"{origin.root}/")


def _private(text: str, origin: Origin | None) -> str:
    return text.replace(f"{origin.package}.", "") if origin and origin.package else text
