"""Start a server from a program, and change what it serves.

```python
async with Server("shop.main:app", bind=["127.0.0.1:0"], workers=2, plugins="plugins") as server:
    outcome = await server.reload(label="pricing 1.5", if_epoch=1)
    match outcome:
        case Committed(serving=epoch):
            print(f"epoch {epoch} serves at {server.addresses[0]}")
        case Unchanged():
            print("nothing had changed")
        case Refused(refusals=refusals):
            print(refusals[0].refusal.traceback)
```
"""

from changeover.supervisor.api.client import NoAnswer, ProblemAnswered, WaitEnded
from changeover.supervisor.api.started import OutcomeUnknown, Server, ServerFailed
from changeover.supervisor.control import Milestone, RegistryView, StatusView
from changeover.supervisor.core.outcome import (
    Committed,
    NeedsRoll,
    Outcome,
    Planned,
    Refused,
    Strategy,
    Unchanged,
    Undecided,
)
from changeover.supervisor.plugins import PluginsView
from changeover.supervisor.remaining import LeaksView, LeasesView
from changeover.supervisor.telemetry.stream import Told

__all__ = [
    "Committed",
    "LeaksView",
    "LeasesView",
    "Milestone",
    "NeedsRoll",
    "NoAnswer",
    "Outcome",
    "OutcomeUnknown",
    "Planned",
    "PluginsView",
    "ProblemAnswered",
    "Refused",
    "RegistryView",
    "Server",
    "ServerFailed",
    "StatusView",
    "Strategy",
    "Told",
    "Unchanged",
    "Undecided",
    "WaitEnded",
]
