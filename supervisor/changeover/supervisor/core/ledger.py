"""What is authoritative: term, numbers, the committed generation, and what content is held.

The ledger never runs ahead of the journal: `commit` is called when the decision is known to be on
disk. Numbers do run ahead: one that was given is never given again, whether or not writing it
succeeded.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from changeover.supervisor.core import quarantine
from changeover.supervisor.core.entries import Held, Part, Recovered, SlotRefusal
from changeover.workers.protocol.epoch import EPOCH_ZERO, Stamp
from changeover.workers.protocol.snapshot import Snapshot

INCARNATIONS = 1_000_000
"""Numbers per term: incarnations are unique per journal without each being written down."""


class Ledger:
    """The supervisor's knowledge of what is authoritative.

    Args:
        recovered: What the journal says.

    Attributes:
        journal: The journal's identity.
        term: The supervisor's incarnation.
        given: The highest epoch ever given.
        committed: The generation that is authoritative by the journal.
        revealed: Whether workers are told of it. A cold start holds it back until it is known whether
            what is on disk serves instead.
        held: What rollbacks set aside.
        quarantine: What was refused and is not tried again by itself.
        parted: The generation of those parts of a roll that are committed while others serve `committed`; None while
            all serve the same.
        part: Up to which part.
    """

    __slots__ = (
        "_incarnation", "committed", "given", "held", "journal", "part", "parted", "quarantine", "revealed", "term",
    )  # fmt: skip

    def __init__(self, recovered: Recovered) -> None:
        self.journal = recovered.journal
        self.term = recovered.term + 1
        self.given = recovered.epoch
        self.committed = recovered.committed
        self.revealed = False
        self.held = recovered.held
        self.quarantine = recovered.quarantine
        self.parted = recovered.parted
        self.part = recovered.part
        self._incarnation = self.term * INCARNATIONS

    @property
    def current(self) -> Snapshot | None:
        """What workers are told is committed."""
        return self.committed if self.revealed else None

    @property
    def epoch(self) -> int:
        """The number of `current`, 0 without one."""
        return self.committed.epoch if self.revealed and self.committed is not None else EPOCH_ZERO

    def current_for(self, *rolls: int) -> Snapshot | None:
        """What is committed for a worker: `rolls` made it, and those who take over from it."""
        return self.parted if self.parted is not None and self.parted.rolled in rolls else self.current

    @property
    def highest(self) -> int:
        """The highest number that any worker may serve."""
        return max(self.epoch, 0 if self.parted is None else self.parted.epoch)

    @property
    def words(self) -> tuple[int, ...]:
        """The committed epoch of each part, as the commit cell has them; empty when there is only one."""
        if self.parted is None:
            return ()
        return (self.epoch, self.parted.epoch) if self.parted.part else (self.parted.epoch, self.epoch)

    @property
    def known(self) -> Stamp:
        """What a worker's message is fenced with: any epoch is lawful, a worker may report on any."""
        return Stamp(self.journal, self.term, EPOCH_ZERO)

    def stamp(self, epoch: int) -> Stamp:
        """Stamp a message about `epoch`."""
        return Stamp(self.journal, self.term, epoch)

    def give(self) -> int:
        """Take the next epoch's number; it is never given again."""
        self.given += 1
        return self.given

    def raise_to(self, epoch: int) -> None:
        """Give no number up to `epoch`."""
        self.given = max(self.given, epoch)

    def outrank(self, term: int) -> None:
        """Work under a later term than `term`."""
        self.term = max(self.term, term + 1)
        self._incarnation = max(self._incarnation, self.term * INCARNATIONS)

    def incarnation(self) -> int:
        """Number the next worker process."""
        self._incarnation += 1
        return self._incarnation

    def skip_incarnation(self, incarnation: int) -> None:
        """Number no further process like one that was seen alive."""
        self._incarnation = max(self._incarnation, incarnation)

    def is_ours(self, incarnation: int) -> bool:
        """Whether this supervisor numbered that process."""
        return incarnation > self.term * INCARNATIONS

    def commit(self, snapshot: Snapshot, held: Iterable[Held]) -> Snapshot | None:
        """Make `snapshot` authoritative, hold `held` from here on, and return what was authoritative before."""
        previous, self.committed, self.revealed = self.committed, snapshot, True
        self.held = frozenset(held)
        self.quarantine = quarantine.after_commit(self.quarantine, snapshot, previous)
        return previous

    def relisten(self, addresses: tuple[str, ...]) -> None:
        """What is committed is served at `addresses`, wherever it was before this start; empty for no change."""
        if self.committed is not None and addresses:
            self.committed = replace(self.committed, listen=addresses)

    def commit_part(self, snapshot: Snapshot, part: Part) -> Snapshot | None:
        """Make `snapshot` what the parts up to `part` serve, and return what they served before."""
        previous, self.parted, self.part = self.parted, snapshot, part
        return previous

    def join(self) -> Snapshot | None:
        """There are no parts any more: return what they served that are not the whole."""
        left, self.parted, self.part = self.parted, None, None
        return left

    def abort(self, candidate: Snapshot | None, refusals: Iterable[SlotRefusal]) -> None:
        """Let what was refused not be tried again by itself."""
        self.quarantine = quarantine.after_abort(self.quarantine, candidate, refusals)
