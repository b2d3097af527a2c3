"""Where the two planes meet inside the runtime directory, and how broadcasts are addressed."""

from pathlib import Path

from changeover.workers.protocol.identity import WorkerId

EVERYONE = b"*;"
"""Topic of broadcasts."""


def own_topic(worker: WorkerId) -> bytes:
    """Topic of what is told to one worker; ends in `;`, because a subscription matches by prefix."""
    return b"@" + worker.routing() + b";"


def worker_of(topic: bytes) -> WorkerId | None:
    """The worker whose own topic `topic` is, None when it is nobody's."""
    if not (topic.startswith(b"@") and topic.endswith(b";")):
        return None
    try:
        return WorkerId.from_routing(topic[1:-1])
    except ValueError:
        return None


def snapshots(runtime: Path) -> str:
    """Endpoint of the supervisor's XPUB socket."""
    return f"ipc://{runtime / 'snapshots.sock'}"


def reports(runtime: Path) -> str:
    """Endpoint of the supervisor's ROUTER socket."""
    return f"ipc://{runtime / 'reports.sock'}"


def handover(runtime: Path, worker: WorkerId) -> Path:
    """The SEQPACKET socket on which a worker takes connections of others."""
    return runtime / f"worker-{worker.incarnation}.sock"
