"""Words for a rehearsal that ended without a report: what is known of it is how, and what it was at."""

import os
import re
import signal

import msgspec

from changeover.workers.preflight.believing import of_candidate, short, units_of
from changeover.workers.preflight.page import Part, Standing
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.rehearsal import RehearsalOrder, RehearsalReport
from changeover.workers.protocol.snapshot import PluginSpec

_CURRENT_THREAD = "Current thread"
_FRAME = r'File "{root}/(?P<name>[^"\n]+)", line (?P<line>\d+)'


class Ending(msgspec.Struct, frozen=True):
    """How a rehearsal ended.

    Attributes:
        fault: Whose fault it is.
        how: In words, after which follows what it was at.
        why: What that means as a rule; empty when it speaks for itself.
    """

    fault: Fault
    how: str
    why: str = ""


def ending_of(status: int) -> Ending:
    """How a process ended.

    Args:
        status: Its exit status, or minus the number of the signal that ended it.
    """
    if status >= 0:
        return Ending(Fault.CRASH, f"it ended its process with status {status}")
    if -status == signal.SIGKILL:
        return Ending(Fault.RESOURCE, "its process was killed", "as a rule for want of memory")
    if -status == signal.SIGXCPU:
        return Ending(Fault.TIMEOUT, "it used up its processor time")
    return Ending(Fault.CRASH, f"its process was ended by {_name(-status)}")


def overdue(deadline: float) -> Ending:
    """The deadline passed.

    Args:
        deadline: Seconds that it had.
    """
    return Ending(Fault.TIMEOUT, f"not done within {deadline:g} s")


UNWATCHED = Ending(Fault.CRASH, "it ended the process that watched over it")
"""The first process ended without a word."""


def not_forked(number: int) -> Ending:
    """The system refuses a process.

    Args:
        number: Its error number, 0 when it gave none.
    """
    return Ending(Fault.RESOURCE, f"no process can be had for it ({os.strerror(number)})")


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def report_of(ending: Ending, standing: Standing, stacks: str, order: RehearsalOrder) -> RehearsalReport:
    """Word it as a report: an end in what serves says nothing of the candidate, and must not keep it from the workers.

    What is known of the candidate by then holds; where it was loaded once more, another process has to tell, unless
    there is no time for that.

    Args:
        ending: How it ended.
        standing: Where it stood.
        stacks: Of its threads; empty when it wrote none.
        order: What it was to rehearse.
    """
    refusal, place = _refusal_of(ending, standing, stacks, order), _place(stacks, standing, order)
    placed = msgspec.structs.replace(standing, unit=place.unit)
    done = "ended" if standing.part in (Part.RETIRING, Part.ENDING) else "loaded"
    why = f"what serves cannot be {done} in a preflight: {refusal.placed}"
    if standing.part is Part.AFRESH and (standing.verdict.refusal or ending.fault is not Fault.TIMEOUT):
        told = (
            f"loaded once more, with nothing beside it: {refusal.placed}; what was warned of before that went with it"
        )
        return _known(standing, order, told, unproved=True)
    if ends_as_it_served(placed, order):
        told = f"{why}; what ends after it was not seen to end"
        return _known(standing, order, told, unproved=standing.verdict.unproved)
    if place.is_new or not is_barred(placed, order):
        return RehearsalReport(refusal)
    return RehearsalReport(skipped=why, barred=place.unit, fault=refusal.fault)


def is_barred(standing: Standing, order: RehearsalOrder) -> bool:
    """Whether what serves keeps the rehearsal from the candidate, and can be left out.

    Args:
        standing: What runs.
        order: What is rehearsed.
    """
    if standing.part is Part.CANDIDATE:
        left_out = {str(ref) for ref in (*order.left_out, *order.exempt)}
        return of_what_serves(standing, order) and standing.unit not in left_out
    return of_what_serves(standing, order) and order.may_be_barred()


def of_what_serves(standing: Standing, order: RehearsalOrder) -> bool:
    """Whether what runs is of what serves already, in which a failure is no fault of the candidate.

    Args:
        standing: What runs.
        order: What is rehearsed.
    """
    if standing.part is Part.RETIRING:
        return standing.hook != "merge_state"
    if standing.part is Part.ENDING:
        return standing.unit not in {str(key.ref) for key in order.fresh()}
    if standing.part is Part.CANDIDATE:  # of a roll, which has what serves among its own
        return standing.unit in map(str, order.served)
    return standing.part is Part.CURRENT


def ends_as_it_served(standing: Standing, order: RehearsalOrder) -> bool:
    """Whether what ends is of the candidate, and its code served so: it is loaded and swapped in, and refused no more.

    Args:
        standing: What runs.
        order: What is rehearsed.
    """
    if standing.part is not Part.ENDING or of_what_serves(standing, order):
        return False
    return order.goes_back or standing.unit in map(str, order.other_resources)


def _known(standing: Standing, order: RehearsalOrder, told: str, *, unproved: bool) -> RehearsalReport:
    """What is known of the candidate by then, which holds."""
    known = standing.verdict
    return RehearsalReport(
        refusal=None if known.refusal is None else of_candidate(short(known.refusal), order),
        modules=max(0, known.modules),
        tests_passed=max(0, known.tests_passed),
        tests=max(0, known.tests),
        warnings=(told,),
        unproved=unproved,
    )


def _refusal_of(ending: Ending, standing: Standing, stacks: str, order: RehearsalOrder) -> Refusal:
    place = _place(stacks, standing, order)
    known, where = place.unit, place.where
    hook = standing.hook if known == standing.unit else ""
    at = " ".join(word for word in (ending.how, "in" if known else "", known, hook) if word)
    summary = f"{at}, {ending.why}" if ending.why else at
    accused = known if known in units_of(order) else ""
    text = _told(stacks, order)
    return Refusal(Stage.PREFLIGHT, ending.fault, summary, accused, hook, where, traceback=text)


class _Place(msgspec.Struct, frozen=True):
    """Whose code ran.

    Attributes:
        unit: The unit's, as its `UnitRef` reads; empty where nobody knows.
        where: `file:line` in a plugin's; empty where nobody knows.
        is_new: Whether it is known to be code that only the candidate has.
    """

    unit: str
    where: str = ""
    is_new: bool = False


def _place(stacks: str, standing: Standing, order: RehearsalOrder) -> _Place:
    _, _, current = stacks.partition(_CURRENT_THREAD)
    roots = {f"{order.store}/{artifact}": spec for spec in _plugins(order) for artifact in _artifacts(spec)}
    found = (re.search(_FRAME.format(root=re.escape(root)), current or stacks) for root in roots)
    places = [(match.start(), root, match) for match, root in zip(found, roots, strict=True) if match]
    if not places:
        return _Place(standing.unit)
    _, root, match = min(places, key=lambda place: place[0])
    served = {f"{order.store}/{artifact}" for spec in _served(order) for artifact in _artifacts(spec)}
    return _Place(str(roots[root].key.ref), f"{match['name']}:{match['line']}", root not in served)


def _told(stacks: str, order: RehearsalOrder) -> str:
    """Stacks with files named as their authors know them."""
    for spec in _plugins(order):
        for artifact in _artifacts(spec):
            stacks = stacks.replace(f'"{order.store}/{artifact}/', '"')
    return stacks


def _plugins(order: RehearsalOrder) -> list[PluginSpec]:
    """The plugins of both generations; of contents that both have, the candidate's comes last."""
    units = (*(order.current.units if order.current else ()), *order.candidate.units)
    return [unit for unit in units if isinstance(unit, PluginSpec)]


def _served(order: RehearsalOrder) -> list[PluginSpec]:
    serving = frozenset(order.serving())
    return [spec for spec in _plugins(order) if spec.key in serving]


def _artifacts(spec: PluginSpec) -> set[str]:
    return {artifact for artifact in (spec.code, spec.artifact) if artifact}
