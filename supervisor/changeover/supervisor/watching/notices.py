"""Looks at everything when the kernel tells of a change, and every now and then when it tells nothing.

All of it happens on a thread of its own: looking, and asking the kernel to tell, blocks on the disk.
"""

import threading
import time
from collections.abc import Callable

from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from changeover.supervisor.watching import settling
from changeover.supervisor.watching.places import Places
from changeover.supervisor.watching.sight import Sight, look, wants

REFUSALS_IGNORED = False
"""The library's leave to ignore folders that it may not read: it ignores a limit of the kernel with them."""
AGAIN = 1.0
"""Seconds before the kernel is asked again after it told what nobody can read."""


class Notices:
    """Tells what was seen, from its own thread, until it is closed.

    Args:
        places: What is looked at.
        rescan: Seconds between two looks, whatever the kernel tells.
        seen: Takes each sight, with who tells it.
        blind: Takes the reason why the kernel tells nothing, empty once it does, with who tells it.
    """

    def __init__(
        self,
        places: Places,
        rescan: float,
        seen: Callable[["Notices", Sight], None],
        blind: Callable[["Notices", str], None],
    ) -> None:
        self._places = places
        self._rescan = rescan
        self._seen = seen
        self._blind = blind
        self._reason: str | None = None
        self._told = Sight()
        self._wanted = wants(places)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin; the first sight comes at once."""
        self._thread.start()

    def close(self) -> None:
        """Tell nothing more. Does not wait for a disk that hangs."""
        self._stop.set()

    def join(self, seconds: float) -> None:
        """Wait until it was told its last."""
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._follow()
            except FileNotFoundError:
                # A folder went between looking and asking: another look tells what there is.
                self._stop.wait(settling.STEP / 1000)
            except (OSError, WatchfilesRustInternalError) as error:
                # Where it was refused is one of many folders, in the words of another language.
                self._say(str(error).partition(" about [")[0])
                self._tell(self._settled())
                self._stop.wait(self._rescan)

    def _follow(self) -> None:
        """Look whenever the kernel tells, until it has to be asked about other folders."""
        asked = look(self._places).watched
        with RustNotify(sorted(asked), False, False, 0, False, REFUSALS_IGNORED) as kernel:
            self._say("")
            right = True
            while right and not self._stop.is_set():
                sight = self._settled()
                self._tell(sight)
                right = sight.watched == asked and self._next(kernel, sight)

    def _settled(self) -> Sight:
        return settling.settled(self._places, self._told, self._stop.wait)

    def _tell(self, sight: Sight) -> None:
        self._told = sight
        self._seen(self, sight)

    def _next(self, kernel: RustNotify, sight: Sight) -> bool:
        """Wait until it is worth looking; whether the kernel tells of the right folders still."""
        left, until = self._rescan, time.monotonic() + self._rescan
        while left > 0:
            wait = max(1, int(left * 1000))
            try:
                changes = kernel.watch(min(settling.LONGEST, wait), settling.STEP, wait, self._stop)
            except WatchfilesRustInternalError:
                # A name that is no text, for one: whatever it was, it is seen by looking.
                self._stop.wait(AGAIN)
                return False
            if isinstance(changes, str):
                return True
            paths = [path for _, path in changes]
            if any(sight.concerns(path, self._wanted) for path in paths):
                return not any(map(sight.moved, paths))
            left = until - time.monotonic()
        return True

    def _say(self, reason: str) -> None:
        if reason != self._reason:
            self._reason = reason
            self._blind(self, reason)
