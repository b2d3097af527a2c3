"""Earlier content as it can be served now: new processes import it with what is installed now."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from changeover.supervisor.artifacts import rollback
from changeover.supervisor.artifacts.replacing import as_roll, rolling
from changeover.supervisor.core.entries import Held, Trigger
from changeover.supervisor.core.outcome import CutoverRequest, Strategy
from changeover.supervisor.interpreters.answer import InterpreterUnfit
from changeover.supervisor.interpreters.asking import Interpreters
from changeover.supervisor.interpreters.choice import standing_interpreter
from changeover.supervisor.interpreters.paths import OURS
from changeover.workers.pinned.distributions import Distributions
from changeover.workers.plugins.artifact import ArtifactError, digest_of, get
from changeover.workers.protocol.snapshot import Snapshot


class Restored(msgspec.Struct, frozen=True):
    """What going back amounts to.

    Attributes:
        earlier: What is gone back to.
        made: The candidate.
        files: What it names that may not be stored yet: digest -> files.
        rolling: Plugin id -> why it makes the candidate a roll.
        notes: What does not come back, for people.
        unfit: Why only a process that is kept can execute it, for people; empty where a new one can.
    """

    earlier: Snapshot
    made: Snapshot
    files: dict[str, dict[str, bytes]] = {}
    rolling: Mapping[str, str] = {}
    notes: tuple[str, ...] = ()
    unfit: str = ""


class Restoring:
    """Makes candidates of what served.

    Args:
        request: What is wished for.
        epoch: The number of the candidate.
        current: What is served.
        store: The artifact store.
        interpreters: Say what is installed for them.
    """

    def __init__(
        self, request: CutoverRequest, epoch: int, current: Snapshot, store: Path, interpreters: Interpreters
    ) -> None:
        self._request = request
        self._epoch = epoch
        self._current = current
        self._store = store
        self._interpreters = interpreters

    def find(self, committed: Sequence[Snapshot], set_aside: frozenset[str], held: frozenset[Held]) -> Restored | None:
        """Bring back what is asked for; where nobody says what, the latest that differs, as it would serve now.

        Args:
            committed: Committed generations that are kept, oldest first.
            set_aside: As in `rollback.target`.
            held: Likewise.

        Raises:
            InterpreterUnfit: What executed it cannot do so any more; a rescue has a process that was kept.
        """
        found = None
        named = self._request.to is not None or self._request.force or self._request.strategy is Strategy.ROLL
        while earlier := rollback.target(committed, self._current, self._request.to, set_aside, held):
            found = self._restored(earlier)
            if named or found.made.digest != self._current.digest:
                break
            committed = [each for each in committed if each.epoch < earlier.epoch]
        return found

    def _restored(self, earlier: Snapshot) -> Restored:
        """Bring back what `earlier` served; where new processes are to serve it, with what is installed for them."""
        found = self._made(earlier)
        if not found.made.is_roll:
            return found
        installed, unfit = self._installed(earlier, found.made)
        record = digest_of(installed.files())
        again = self._made(rollback.as_installed(earlier, record))
        if unfit:
            note = f"{unfit} (the kept process makes workers all the same, and none can follow it)"
            again = msgspec.structs.replace(again, notes=(*again.notes, note), unfit=unfit)
        if again.made.application is None or again.made.application.distributions != record:
            return again
        notes = (*again.notes, *self._differences(earlier, installed, record))
        return msgspec.structs.replace(again, earlier=earlier, files={record: installed.files()}, notes=notes)

    def _made(self, earlier: Snapshot) -> Restored:
        request, current = self._request, self._current
        rolls = request.strategy is Strategy.ROLL
        made = rollback.restored(earlier, current, self._epoch, request.origin.label, rolls=rolls)
        why = rolling(made, current, self._store, {}, {})
        if why and not made.is_roll and request.strategy is not Strategy.SWAP:
            made = as_roll(made, current)
        notes = (*rollback.left_out(earlier, current), *standing_interpreter(made.interpreter))
        return Restored(earlier, made, rolling=why, notes=notes)

    def _installed(self, earlier: Snapshot, made: Snapshot) -> tuple[Distributions, str]:
        """What is installed, and why nobody could be asked where that is: then it is looked for where it was."""
        executes = made.interpreter
        try:
            answer = self._interpreters.require(executes) if executes.python else self._interpreters.ask(OURS)
        except InterpreterUnfit as error:
            if self._request.origin.trigger is not Trigger.RESCUE:
                raise
            application = earlier.application
            if application is None or not application.distributions:
                return Distributions(), str(error)
            return Distributions.of_files(get(self._store, application.distributions)).now(), str(error)
        return Distributions.found(answer.search), ""

    def _differences(self, earlier: Snapshot, installed: Distributions, record: str) -> tuple[str, ...]:
        """Say what is installed otherwise than it was, and what that means for whom a kept process makes."""
        if earlier.application is None or earlier.application.distributions == record:
            return ()
        try:
            before = Distributions.of_files(get(self._store, earlier.application.distributions))
            differing = ", ".join(before.differing(installed)) or "in other folders"
        except ArtifactError:
            differing = "what there was is not in the store any more"
        note = f"packages as installed now, and not as epoch {earlier.epoch} had them: {differing}"
        if self._request.origin.trigger is Trigger.RESCUE:
            note += " (what the kept process has imported stays as it was; what is imported later is what is there now)"
        return (note,)
