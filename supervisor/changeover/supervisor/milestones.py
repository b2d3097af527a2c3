"""How far the cutover to an epoch has come. Pure."""

from changeover.supervisor.control import Milestone
from changeover.supervisor.core import cutover
from changeover.supervisor.core.view import Overview


def reached(overview: Overview, epoch: int, milestone: Milestone) -> bool:
    """Whether a committed epoch has come so far.

    Args:
        overview: The machine's picture.
        epoch: The committed one, or one before it.
        milestone: How far it is to come.
    """
    if overview.epoch == epoch and overview.cutover is cutover.State.ACTIVATING:
        return False
    units = [leftover for leftover in overview.leftovers if leftover.by == epoch]
    epochs = [superseded for superseded in overview.superseded if superseded.by == epoch]
    match milestone:
        case Milestone.ACTIVE:
            return True
        case Milestone.DRAINED:
            return not any(leftover.used_by for leftover in units) and not any(each.served_by for each in epochs)
        case Milestone.RETIRED:
            return not units and not epochs
