"""What workers report that decides nothing: it is handed on to operators, and to whoever asked."""

from changeover.supervisor.core.effects import Answer, TakeCounts
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.records.cutover import HookDegraded
from changeover.supervisor.core.records.pipeline import PipelineEventTold
from changeover.supervisor.core.records.plugin import HookStalled, PluginsMoved, StateNotTaken
from changeover.supervisor.core.records.retirement import LeakFound, LeasesEnded, ReleaseProved
from changeover.supervisor.core.records.worker import FarewellsSaid
from changeover.workers.protocol import messages, plugin_messages
from changeover.workers.protocol.messages import WorkerMessage


def hand_on(out: Outbox, pid: int, message: WorkerMessage) -> None:
    """Tell of a report of a process, or answer with it."""
    epoch, who = message.stamp.epoch, (message.worker, pid)
    match message:
        case messages.Degraded(refusal=refusal):
            out.tell(HookDegraded(*who, epoch, refusal))
        case messages.LeasesEnded(bound=bound, ended=ended, stuck=stuck):
            out.tell(LeasesEnded(*who, epoch, bound, ended, stuck))
        case messages.FarewellsSaid(kind=kind, why=why, count=count, oldest=oldest):
            out.tell(FarewellsSaid(*who, kind, why, count, oldest))
        case messages.TellRegistry(ticket=ticket) | messages.TellLeases(ticket=ticket):
            out.put(Answer(ticket, message))
        case plugin_messages.TellPlugins(ticket=ticket) | plugin_messages.TellLeaks(ticket=ticket):
            out.put(Answer(ticket, message))
        case messages.TellPipelines(ticket=ticket, counts=counts):
            out.put(TakeCounts(message.worker, counts))
            out.put(Answer(ticket, message))
        case messages.Counted(counts=counts):
            out.put(TakeCounts(message.worker, counts))
        case messages.PipelineEventsTold(events=happened):
            for each in happened:
                what = each.event
                told = (what.kind, what.pipeline, what.subject, what.detail, each.count)
                out.tell(PipelineEventTold(message.worker, pid, *told))
        case _:
            _of_plugins(out, pid, message)


def hand_on_late(out: Outbox, message: WorkerMessage) -> bool:
    """Hand on the last words of a worker whose death was seen before them; False for what nobody needs any more."""
    match message:
        case messages.Counted(counts=counts):
            out.put(TakeCounts(message.worker, counts, late=True))
        case messages.FarewellsSaid() | messages.PipelineEventsTold():
            hand_on(out, 0, message)
        case _:
            return False
    return True


def _of_plugins(out: Outbox, pid: int, message: WorkerMessage) -> None:
    who = message.worker, pid
    match message:
        case plugin_messages.PluginsMoved(moves=moves):
            out.tell(PluginsMoved(*who, moves))
        case plugin_messages.StateNotTaken(plugin=plugin, version=version, old=old, why=why):
            out.tell(StateNotTaken(*who, plugin, version, old, why))
        case plugin_messages.Proved(units=units, pause=pause, leaks=leaks):
            out.tell(ReleaseProved(*who, units, pause, len(leaks)))
            for leak in leaks:
                out.tell(LeakFound(*who, leak.unit, leak.what, leak.chain))
        case plugin_messages.HookStalled(unit=unit, hook=hook, seconds=seconds):
            out.tell(HookStalled(*who, unit, hook, seconds))
        case _:
            out.ignore(message.worker, type(message).__name__, "unlisted")
