"""What operators see, made of the machine's own picture of itself. Pure."""

from collections.abc import Iterator, Mapping

from changeover.supervisor.control import (
    HistoryLine,
    JournalState,
    PluginState,
    PluginView,
    QuarantineView,
    SlotState,
    SlotView,
    ZygoteState,
    ZygoteView,
)
from changeover.supervisor.core import boot, child, cutover, shutdown, zygote
from changeover.supervisor.core.entries import Aborted, Decision, Trigger
from changeover.supervisor.core.events import Urgency
from changeover.supervisor.core.quarantine import passing
from changeover.supervisor.core.view import Overview, Role, SlotPicture, ZygotePicture
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import PipelineSpec, PluginSpec, Snapshot

SLOT_STATES: dict[child.State, SlotState] = {
    child.State.VACANT: SlotState.STARTING,
    child.State.FORKING: SlotState.STARTING,
    child.State.BOOTING: SlotState.STARTING,
    child.State.JOINING: SlotState.STARTING,
    child.State.SERVING: SlotState.SERVING,
    child.State.STOPPING: SlotState.STOPPING,
    child.State.KILLING: SlotState.STOPPING,
    child.State.BACKOFF: SlotState.BACKOFF,
    child.State.PARKED: SlotState.PARKED,
}

ZYGOTE_STATES: dict[zygote.State, ZygoteState] = {
    zygote.State.ABSENT: ZygoteState.BACKOFF,
    zygote.State.ADOPTING: ZygoteState.STARTING,
    zygote.State.STARTING: ZygoteState.STARTING,
    zygote.State.READY: ZygoteState.READY,
    zygote.State.BACKOFF: ZygoteState.BACKOFF,
    zygote.State.KEPT: ZygoteState.KEPT,
    zygote.State.SUPERSEDED: ZygoteState.STOPPING,
    zygote.State.STOPPING: ZygoteState.STOPPING,
}

STOPPING: dict[shutdown.State, Urgency | None] = {
    shutdown.State.RUNNING: None,
    shutdown.State.GRACEFUL: Urgency.GRACEFUL,
    shutdown.State.QUICK: Urgency.QUICK,
    shutdown.State.KILLING: Urgency.QUICK,
    shutdown.State.CLOSING: Urgency.QUICK,
    shutdown.State.GONE: Urgency.QUICK,
}


def serving_of(overview: Overview) -> Snapshot | None:
    """What serves; None before the first commit."""
    return overview.committed if overview.epoch else None


def slot_view(slot: SlotPicture, now: float, wall: float) -> SlotView:
    """Show one slot.

    Args:
        slot: The machine's picture of it.
        now: The loop's clock, seconds.
        wall: The wall clock at the same moment, seconds since 1970.
    """
    return SlotView(
        slot=slot.slot,
        state=slot_state(slot),
        note=_note(slot, now),
        pid=slot.pid,
        incarnation=slot.worker.incarnation if slot.worker else 0,
        cohort=slot.worker.cohort if slot.worker else 0,
        epoch=slot.epoch,
        prepared=slot.prepared,
        started=wall - (now - slot.born) if slot.worker else 0.0,
        leases=slot.beat.leases if slot.beat else {},
        connections=slot.beat.connections if slot.beat else 0,
        requests=slot.beat.requests if slot.beat else 0,
        rss=slot.beat.rss if slot.beat else 0,
        leaked=slot.beat.leaked if slot.beat else 0,
        leads=slot.beat is not None and slot.beat.leads,
    )


def slot_state(slot: SlotPicture) -> SlotState:
    """Say what a slot does, as people see it."""
    if slot.role is Role.NEXT and SLOT_STATES[slot.state] in (SlotState.STARTING, SlotState.SERVING):
        return SlotState.STANDBY
    if slot.role is Role.REPLACED and slot.told is None:
        return SlotState.YIELDING
    return SLOT_STATES[slot.state]


def _note(slot: SlotPicture, now: float) -> str:
    if slot.until:
        return f"{slot.note}; next try in {max(0.0, slot.until - now):.0f} s"
    if slot.adopted and slot.heard is None:
        return "of the supervisor before, and not heard yet"
    if slot.silent and slot.heard is not None:
        return f"silent for {now - slot.heard:.0f} s"
    return slot.note


def zygote_view(picture: ZygotePicture, now: float, wall: float) -> ZygoteView:
    """Show one zygote; the arguments are those of `slot_view`."""
    until = wall + (picture.until - now) if picture.until else 0.0
    return ZygoteView(picture.cohort, ZYGOTE_STATES[picture.state], picture.rolled, until)


def plugin_views(overview: Overview, degraded: Mapping[str, Refusal]) -> tuple[PluginView, ...]:
    """Show the plugins of the committed generation.

    Args:
        overview: The machine's picture.
        degraded: Unit -> the failure that degraded it.
    """
    units = overview.committed.units if overview.committed is not None and overview.epoch else ()
    serves = any(slot.epoch for slot in overview.slots)
    state = PluginState.ACTIVE if serves else PluginState.ABSENT
    plugins = (unit for unit in units if isinstance(unit, PluginSpec))
    return tuple(_plugin_view(spec, state, degraded.get(str(spec.key.ref))) for spec in plugins)


def _plugin_view(spec: PluginSpec, state: PluginState, failure: Refusal | None) -> PluginView:
    if failure is None:
        return PluginView(spec.key.ref.name, spec.version, spec.key.since, state)
    note = f"{failure.hook}: {failure.summary}"
    return PluginView(spec.key.ref.name, spec.version, spec.key.since, PluginState.DEGRADED, note)


def edited(overview: Overview) -> tuple[str, ...]:
    """The pipelines that serve as they were edited, and not as their files say."""
    units = () if overview.committed is None else overview.committed.units
    return tuple(unit.key.ref.name for unit in units if isinstance(unit, PipelineSpec) and unit.written)


def quarantine_views(overview: Overview, refused: Mapping[int, float]) -> tuple[QuarantineView, ...]:
    """Show what is not tried again by itself: of each plugin the content that was refused last.

    Args:
        overview: The machine's picture.
        refused: Epoch -> when it was refused, wall clock.
    """
    latest = {tuple(sorted(each.blamed)): each for each in overview.quarantine}
    return tuple(
        QuarantineView(str(each), each.epoch, refused.get(each.epoch, 0.0), each.required) for each in latest.values()
    )


def tried_again(decision: Decision | None, overview: Overview) -> str:
    """Say whether refused content is tried again by itself."""
    if not isinstance(decision, Aborted) or not decision.refusals:
        return ""
    known = next((each for each in overview.quarantine if each.epoch == decision.epoch), None)
    if known is not None:
        until = f"it or {known.required}, which it requires, changes" if known.requires else "it changes"
        return f"watching and schedule do not try it again until {until}; `changeover reload` does"
    if passing(decision.refusals):
        return "the reason may pass: watching and schedule try it again, less and less often"
    return ""


def journal_state(overview: Overview) -> JournalState:
    """Say whether decisions can be written."""
    if overview.cutover is cutover.State.IN_DOUBT:
        return JournalState.IN_DOUBT
    return JournalState.UNWRITABLE if overview.start is boot.State.READ_ONLY else JournalState.SOUND


def alarms(overview: Overview, degraded: Mapping[str, Refusal], unserved: str) -> tuple[str, ...]:
    """Say everything that needs somebody's attention; nothing when all is well."""
    found = []
    staff = [slot for slot in overview.slots if slot.role is Role.CURRENT]
    serving = sum(slot.state is child.State.SERVING for slot in staff)
    if serving < len(staff) and overview.stopping is shutdown.State.RUNNING:
        found.append(f"{serving} of {len(staff)} slots serve")
    if overview.obstacle is not None:
        found.append(f"cutovers are refused: {overview.obstacle}")
    found.extend(f"{unit} is degraded: {failure.hook}: {failure.summary}" for unit, failure in degraded.items())
    if unserved:
        found.append(unserved)
    leaked = {slot.slot: slot.beat.leaked for slot in overview.slots if slot.beat is not None and slot.beat.leaked}
    if leaked:
        slots = ", ".join(f"{count} in slot {slot}" for slot, count in leaked.items())
        found.append(f"copies of plugins were released and are not gone: {slots}; see: changeover leaks")
    return (*found, *_mixed(overview))


def _mixed(overview: Overview) -> Iterator[str]:
    """The alarm while who is kept alone has what serves as it was imported: nothing else can import that."""
    rolled = None if overview.committed is None else overview.committed.rolled
    for each in overview.zygotes:
        if each.mixes and each.rolled == rolled:
            yield (
                f"zygote {each.cohort} imported the application with other packages than epoch {overview.epoch} names: "
                "a restart, or a zygote that follows it, imports with these; install what was there, then go back "
                "to that once more (changeover rollback --to the epoch that had it)"
            )


def unserved_disk(reason: str, serving: int) -> tuple[str, ...]:
    """The alarm of a start that was refused what is on disk; empty `reason`: of none."""
    return (f"what is on disk is not served: {reason}; epoch {serving}, the last committed, serves",) if reason else ()


def failed_upgrade(reason: str) -> tuple[str, ...]:
    """The alarm of a supervisor that went back to the program before."""
    return (f"the last upgrade failed, the program before it runs again: {reason}",) if reason else ()


def rescued(serving: HistoryLine | None) -> tuple[str, ...]:
    """The alarm for a roll that the server took back by itself, until something else is committed."""
    if serving is None or serving.origin.trigger is not Trigger.RESCUE:
        return ()
    back = f"epoch {serving.epoch} brought epoch {serving.restores} back by itself"
    return (f"{serving.origin.label}; {back} (see: changeover explain {serving.epoch})",)


def blindness(reason: str) -> tuple[str, ...]:
    """The alarm for changes that are noticed late; empty `reason`: for none."""
    return (f"the kernel tells of no changes: {reason}",) if reason else ()
