"""What workers report that decides nothing: it is handed on to operators, and to whoever asked."""

from changeover.supervisor.core.effects import Answer, TakeCounts
from changeover.supervisor.core.outbox import Outbox
from changeover.supervisor.core.records.cutover import HookDegraded
from changeover.supervisor.core.records.pipeline import PipelineEventTold
from changeover.supervisor.core.records.plugin import HookStalled, PluginsMoved, StateNotTaken
from changeover.supervisor.core.records.retirement import LeakFound, LeasesEnded, ReleaseProved
from changeover.supervisor.core.records.worker import FarewellsSaid
from changeover.supervisor.core.roster import Member
from changeover.workers.protocol import messages, plugin_messages
from changeover.workers.protocol.messages import WorkerMessage


def hand_on(out: Outbox, member: Member, message: WorkerMessage) -> None:
    """Tell of a report, or answer with it."""
    epoch = message.stamp.epoch
    match message:
        case messages.Degraded(refusal=refusal):
            out.tell(HookDegraded(member.worker, member.pid, epoch, refusal))
        case messages.LeasesEnded(bound=bound, ended=ended, stuck=stuck):
            out.tell(LeasesEnded(member.worker, member.pid, epoch, bound, ended, stuck))
        case messages.FarewellsSaid(kind=kind, why=why, count=count, oldest=oldest):
            out.tell(FarewellsSaid(member.worker, member.pid, kind, why, count, oldest))
        case messages.TellRegistry(ticket=ticket) | messages.TellLeases(ticket=ticket):
            out.put(Answer(ticket, message))
        case plugin_messages.TellPlugins(ticket=ticket) | plugin_messages.TellLeaks(ticket=ticket):
            out.put(Answer(ticket, message))
        case messages.TellPipelines(ticket=ticket, counts=counts):
            out.put(TakeCounts(member.worker, counts))
            out.put(Answer(ticket, message))
        case messages.Counted(counts=counts):
            out.put(TakeCounts(member.worker, counts))
        case messages.PipelineEventsTold(events=happened):
            for each in happened:
                what = each.event
                told = (what.kind, what.pipeline, what.subject, what.detail, each.count)
                out.tell(PipelineEventTold(member.worker, member.pid, *told))
        case _:
            _of_plugins(out, member, message)


def _of_plugins(out: Outbox, member: Member, message: WorkerMessage) -> None:
    who = member.worker, member.pid
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
            out.ignore(member.worker, type(message).__name__, "unlisted")
