"""The status as a page of text. Pure."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from changeover.supervisor.control import (
    HistoryLine,
    PluginState,
    PluginView,
    QuarantineView,
    SlotState,
    SlotView,
    StatusView,
    ZygoteState,
)
from changeover.supervisor.draining import DrainingPlugin
from changeover.supervisor.pipelines import PipelineLine
from changeover.supervisor.telemetry.amounts import age, named, workers
from changeover.supervisor.telemetry.phrases import by
from changeover.supervisor.upgrade.refused import RefusedUpgrade

PIPELINES = ("pipeline", "hits", "5xx", "not ready", "service", "ready")
MOST_PIPELINES = 12
"""Pipelines that a status shows."""
HEADINGS = ("slot", "pid", "epoch", "up", "leases", "open", "requests", "rss", "state")


def overview(view: StatusView, now: float) -> Iterator[str]:
    """Lay out a status.

    Args:
        view: What the server says.
        now: Wall clock, seconds since 1970.
    """
    yield _headline(view, now)
    gone = (f"{address} (removed, closes when nobody comes)" for address in view.leaving)
    yield f"listen {', '.join((*view.listen, *gone)) or 'nowhere'}"
    if view.interpreter.python:
        yield f"python {view.interpreter}"
    if view.candidate is not None:
        yield f"now    epoch {view.candidate} is {view.cutover}"
    yield from _parts(view)
    yield from table((HEADINGS, *(_row(slot, view, now) for slot in view.slots)))
    yield from _kept(view, now)
    if view.resident > 1:
        yield f"alive  {view.resident} generations; see: changeover leases"
    yield from _pipelines(view)
    if view.plugins:
        yield " | ".join(_plugin(plugin) for plugin in view.plugins)
    if view.draining:
        yield f"older  {' | '.join(map(_draining, view.draining))}"
    if view.held:
        yield f"held   {named(view.held)} (set aside: change it, or --force)"
    if view.edited:
        yield f"edited {named(view.edited)} (not as the files say, until these change; see: changeover handler --help)"
    yield from (_quarantined(each, now) for each in view.quarantine)
    yield from (f"last   {each}" for each in _last(view, now))
    yield from (f"!      {alarm}" for alarm in view.alarms)


def table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Align columns, two spaces apart."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def clock(at: float, now: float) -> str:
    """A moment for people: the time of day, with the date when it is another day."""
    moment = datetime.fromtimestamp(at)
    today = datetime.fromtimestamp(now).date() == moment.date()
    return moment.strftime("%H:%M" if today else "%Y-%m-%d %H:%M")


def _headline(view: StatusView, now: float) -> str:
    up = f"up {age(now - view.started)}, supervisor {view.pid}, term {view.term}"
    if view.serving is None:
        return f"{view.name}   nothing serves yet   {up}"
    line = view.serving
    since = line.given if line.decided is None else line.decided
    label = f', "{line.origin.label}"' if line.origin.label else ""
    lasting = age(now - since)
    return f"{view.name}   epoch {view.epoch} since {clock(since, now)} ({lasting}){label} by {by(line.origin)}   {up}"


def _parts(view: StatusView) -> Iterator[str]:
    if view.parted is not None:
        slots = ", ".join(str(slot.slot) for slot in view.staff if slot.epoch == view.parted) or "none"
        yield f"parts  epoch {view.parted} in slots {slots} ({view.part}), epoch {view.epoch} in the others"


def _kept(view: StatusView, now: float) -> Iterator[str]:
    for zygote in view.zygotes:
        if zygote.state is ZygoteState.KEPT:
            yield f"kept   zygote {zygote.cohort} until {clock(zygote.until, now)}, for a way back without an import"


def _row(slot: SlotView, view: StatusView, now: float) -> tuple[str, ...]:
    epoch = view.parted if view.parted is not None and slot.epoch == view.parted else view.epoch
    if not slot.pid:
        return (str(slot.slot), *"-------", _state(slot, epoch))
    return (
        str(slot.slot),
        str(slot.pid),
        str(slot.epoch),
        age(now - slot.started),
        _leases(slot.leases, epoch),
        str(slot.connections),
        f"{slot.requests:,}",
        f"{slot.rss / 1048576:.0f} M",
        _state(slot, epoch),
    )


def _pipelines(view: StatusView) -> Iterator[str]:
    """The busiest pipelines."""
    busiest = sorted(view.pipelines, key=lambda line: -line.hits)[:MOST_PIPELINES]
    if busiest:
        yield from table((PIPELINES, *(_pipeline(line) for line in busiest)))
    if len(view.pipelines) > len(busiest):
        yield f"{len(view.pipelines) - len(busiest)} more: changeover pipelines"


def _pipeline(line: PipelineLine) -> tuple[str, ...]:
    ready = "yes" if not line.unready else f"NOT in {workers(line.unready)}"
    service = (line.service, ready) if line.service else ("-", "-")
    return (line.id, f"{line.hits:,}", f"{line.failed:,}", f"{line.not_ready:,}", *service)


def _leases(leases: dict[int, int], epoch: int) -> str:
    others = "".join(f"; on {other}: {count}" for other, count in sorted(leases.items()) if other != epoch and count)
    return f"{leases.get(epoch, 0)}{others}"


def _state(slot: SlotView, epoch: int) -> str:
    word = slot.state.value.upper() if slot.state is SlotState.PARKED else slot.state.value
    word = f"{word}, leads" if slot.leads else word
    behind = f"epoch {slot.epoch}, not {epoch}" if slot.epoch not in (0, epoch) else ""
    notes = "; ".join(note for note in (slot.note, behind) if note)
    return f"{word}: {notes}" if notes else word


def _plugin(plugin: PluginView) -> str:
    state = f"DEGRADED ({plugin.note})" if plugin.state is PluginState.DEGRADED else plugin.state.value
    return f"plugin {plugin.id} {plugin.version} {state}"


def _draining(plugin: DrainingPlugin) -> str:
    slots = f"slot{'s' if len(plugin.slots) != 1 else ''} {', '.join(map(str, plugin.slots))}"
    return f"plugin {plugin.id} since {plugin.since} {plugin.state.value} in {slots}"


def _quarantined(view: QuarantineView, now: float) -> str:
    at = f" {clock(view.refused, now)}" if view.refused else ""
    why = f" for {view.requires}, which it requires" if view.requires else ""
    return f"{view.content} on disk: refused{at} as epoch {view.epoch}{why}, not tried again by watching or schedule"


def _last(view: StatusView, now: float) -> Iterator[str]:
    """What was asked for and refused since something was taken."""
    if view.refused is not None:
        yield _refused(view.refused)
    if (request := view.refused_request) is not None:
        yield f"refused {clock(request.at, now)} by {by(request.origin)}: {request.reason}"
    if view.refused_upgrade is not None:
        yield _refused_upgrade(view.refused_upgrade, now)


def _refused(line: HistoryLine) -> str:
    at = datetime.fromtimestamp(line.given if line.decided is None else line.decided).strftime("%H:%M")
    return f"epoch {line.epoch} refused {at} by {by(line.origin)}: {line.reason}; see: changeover explain {line.epoch}"


def _refused_upgrade(upgrade: RefusedUpgrade, now: float) -> str:
    program = f" to the program of {upgrade.python}" if upgrade.python else ""
    # What the new program printed may be many lines; the first says what failed, and the last how.
    first, *rest = upgrade.reason.splitlines() or [""]
    why = f"{first} ... {rest[-1].strip()}" if rest else first
    return f"upgrade{program} refused {clock(upgrade.at, now)} by {by(upgrade.origin)}: {why}"
