"""A rehearsal without a zygote: `python -P -m changeover.workers.preflight`.

A `RehearsalOrder` is read from stdin, a `RehearsalReport` written to stdout, both of them MessagePack.
"""

import os
import signal
import sys

from changeover.workers.preflight.keeper import Unwanted, keep
from changeover.workers.protocol.rehearsal import MAX_ORDER, decode_order, encode


def main() -> int:
    """Rehearse what is ordered; the exit status."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)  # whoever waits ends this by not waiting any more
    order = decode_order(sys.stdin.buffer.read(MAX_ORDER + 1))
    answer = os.dup(sys.stdout.fileno())
    try:
        report = keep(order, "", (answer,))
    except Unwanted:
        return 1
    with open(answer, "wb") as told:
        told.write(encode(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
