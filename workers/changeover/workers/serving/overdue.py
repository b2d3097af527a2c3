"""What has gone on for `deadlines.request`: a worker looks for it with each heartbeat."""

from changeover.workers.serving.readers import refuse_overdue
from changeover.workers.serving.threads import leave_hung_behind


def end_waits(seconds: float) -> None:
    """Let nobody wait any more for a thread that owes a response for so long, nor for so long for one that may read
    their body while it comes; 0 = for ever."""
    leave_hung_behind(seconds)
    refuse_overdue(seconds)
