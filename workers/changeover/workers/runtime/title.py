"""A worker's process title."""

import setproctitle

from changeover.workers.protocol.phrase import worker_phrase


def set_title(name: str, slot: int, state: str) -> None:
    """Show what a worker does in `ps` (`changeover: shop worker 2 [epoch 7; 3 leases on 6]`)."""
    setproctitle.setproctitle(worker_phrase(name, slot, state))
