"""What the kernel says of a process by its descriptor, which means no other process for as long as it is open."""

import select


def has_ended(pidfd: int) -> bool:
    """Whether the process is dead; whatever number the descriptor has."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
