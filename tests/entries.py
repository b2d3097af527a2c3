"""Journal entries and snapshots for tests."""

from changeover.supervisor.core.entries import (
    Aborted,
    Committed,
    EpochGiven,
    Held,
    Origin,
    SlotRefusal,
    Trigger,
)
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot, UnitKey, UnitKind, UnitRef

HUP = Origin(Trigger.HUP)


def generation(epoch: int, content: str) -> Snapshot:
    """A generation of one plugin, whose digest is `content`."""
    key = UnitKey(UnitRef(UnitKind.PLUGIN, "pricing"), content, epoch)
    return Snapshot(epoch, content, (PluginSpec(key, "1.0", content, config=b"\x80"),))


def held(content: str) -> Held:
    """Content of that plugin that a rollback set aside."""
    return Held(UnitRef(UnitKind.PLUGIN, "pricing"), content, "1.0")


def given(epoch: int, content: str = "", restores: int | None = None, *held: Held) -> EpochGiven:
    """A candidate."""
    candidate = generation(epoch, content or f"content {epoch}")
    return EpochGiven(epoch, candidate, HUP, ("pricing 1.0 -> 1.1",), restores, held)


def aborted(epoch: int, stage: Stage = Stage.LOAD) -> Aborted:
    """A decision against a candidate, by one worker."""
    refusal = Refusal(stage, Fault.CONTRACT, "ImportError: no module", traceback="Traceback ...")
    return Aborted(epoch, "refused", (SlotRefusal(2, 4127, refusal),))


def committed(epoch: int) -> Committed:
    """A decision for a candidate."""
    return Committed(epoch)
