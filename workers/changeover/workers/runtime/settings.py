"""Everything a worker is told when it is born."""

import msgspec

from changeover.workers.channel.limits import Limits
from changeover.workers.protocol.belongings import Belongings, Told
from changeover.workers.protocol.identity import WorkerId


class DrainDeadlines(msgspec.Struct, frozen=True):
    """How long each kind of lease may hold a process that is to leave, in seconds."""

    http: float = 30.0
    stream: float = 600.0
    websocket: float = 3600.0
    task: float = 30.0

    def longest(self) -> float:
        """For how long anything may hold it: a request that waits has its time twice."""
        return max(2 * self.http, self.stream, self.websocket, self.task)


class Deadlines(msgspec.Struct, frozen=True):
    """Every other wait of a worker, in seconds.

    Attributes:
        hook: One hook of a plugin, or the startup of one application's lifespan.
        graceful: From TERM to being gone.
        orphan: How long a worker serves on without a supervisor; 0 = for ever.
        heartbeat: Between two heartbeats.
        silence: Without a heartbeat for this long, the worker asks again.
        request: A thread that owes a response for this long is left behind, and who waits for this long for one that
            may read their body is refused; 0 = never.
    """

    hook: float = 30.0
    graceful: float = 30.0
    orphan: float = 900.0
    heartbeat: float = 1.0
    silence: float = 3.5
    request: float = 600.0


class WorkerHooks(msgspec.Struct, frozen=True):
    """Server hooks that run in workers: `module:function`, or a command.

    Attributes:
        after_fork: In each new worker, before it has a loop; one that fails does not boot.
        worker_ready: Beside the first requests of a worker.
        worker_exit: Before a worker that was told to leave is gone.
        deadline: Seconds that each hook has.
    """

    after_fork: str = ""
    worker_ready: str = ""
    worker_exit: str = ""
    deadline: float = 10.0


class WireSettings(msgspec.Struct, frozen=True):
    """What is done with every request beside serving it.

    Attributes:
        forwarded: Networks of proxies whose word is taken for who the client is.
        forwarded_headers: Lower-case names of the fields in which they say so.
        access_log: Where requests are told: a path, or `-` for stdout; empty for nowhere.
        access_format: `common`, `combined` or `json`.
    """

    forwarded: tuple[str, ...] = ()
    forwarded_headers: tuple[str, ...] = ()
    access_log: str = ""
    access_format: str = "common"


class WorkerSettings(msgspec.Struct, frozen=True):
    """What all workers of a cohort have in common.

    Attributes:
        name: The service's name, for titles and logs.
        runtime: The runtime directory with the supervisor's sockets.
        store: The artifact store.
        slots: How many places for workers there are now.
        belongings: Inherited listening sockets, commit cell, and page on which workers count their connections.
        max_connections: Most open client connections of one worker; 0 = as many as descriptors allow.
        epoch_header: Whether responses say which epoch and worker made them.
        max_resident: Most resident copies of one unit.
        limits: Bounds on connections and requests.
        wire: What is done with every request beside serving it.
        drain: Deadlines by kind of lease.
        deadlines: All other waits.
        hooks: Server hooks.
    """

    name: str
    runtime: str
    store: str
    slots: int
    belongings: Belongings = Belongings()
    max_connections: int = 0
    epoch_header: bool = False
    max_resident: int = 8
    limits: Limits = Limits()
    wire: WireSettings = WireSettings()
    drain: DrainDeadlines = DrainDeadlines()
    deadlines: Deadlines = Deadlines()
    hooks: WorkerHooks = WorkerHooks()


class Birth(msgspec.Struct, frozen=True):
    """What one worker is told on top: who it is, and whose.

    Attributes:
        worker: Its identity.
        nonce: To be repeated in Hello.
        journal: The journal it belongs to.
        term: The supervisor's term when it was forked.
        settings: What it shares with its cohort.
        rolled: The epoch whose roll made it: what it can serve.
        stacks: Descriptor of its stacks file, which its zygote made; -1 when there is none.
        part: The word of the commit cell that it reads.
    """

    worker: WorkerId
    nonce: str
    journal: str
    term: int
    settings: WorkerSettings
    rolled: int = 0
    stacks: int = -1
    part: int = 0

    def told(self, pid: int) -> Told:
        """What the worker says to a supervisor that did not have it forked.

        Args:
            pid: Its own.
        """
        return Told(self.worker, pid, self.rolled, self.journal, self.settings.belongings)
