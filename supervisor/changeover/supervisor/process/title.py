"""The supervisor's process title."""

import setproctitle

from changeover.workers.protocol.phrase import supervisor_phrase


def set_title(name: str, state: str) -> None:
    """Show what the supervisor does in `ps` (`changeover: shop supervisor [epoch 7]`)."""
    setproctitle.setproctitle(supervisor_phrase(name, state))
