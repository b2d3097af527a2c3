"""One scan from end to end: what a request would serve, stored and ready, or why nothing can."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from changeover.supervisor.artifacts import candidate, rollback
from changeover.supervisor.artifacts.application import ApplicationContent, differing, read_application
from changeover.supervisor.artifacts.collection import artifacts_of, collect
from changeover.supervisor.artifacts.difference import summary
from changeover.supervisor.artifacts.folder import Listing, read_folder
from changeover.supervisor.artifacts.layout import Layout, contradictions, lay_out, unused, within
from changeover.supervisor.artifacts.problems import Problem, of_config, of_manifest, refusals
from changeover.supervisor.artifacts.reach import Reach
from changeover.supervisor.artifacts.requirements import unmet
from changeover.supervisor.artifacts.selection import Selection, select
from changeover.supervisor.artifacts.standing import restart_notes
from changeover.supervisor.artifacts.withheld import without_held
from changeover.supervisor.config.check import Checked
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.core.entries import Held, Quarantined, Trigger
from changeover.supervisor.core.outcome import (
    Action,
    Candidate,
    CutoverRequest,
    HeldBack,
    NothingChanged,
    RollNeeded,
    ScanRefused,
    ScanResult,
)
from changeover.workers.plugins.artifact import ArtifactError, get, put
from changeover.workers.plugins.manifest import ManifestInvalid
from changeover.workers.protocol.refusal import Fault
from changeover.workers.protocol.snapshot import ApplicationSpec, Snapshot

ReadSettings = Callable[[], Checked]
"""Reads and checks the configuration as it is now."""


class Past(msgspec.Struct, frozen=True):
    """What the journal remembers, as far as a scan needs it.

    Attributes:
        committed: Committed generations that are kept, oldest first: what can be gone back to.
        kept: Every candidate that is kept, decided or not: what the store must not lose.
        set_aside: Digests of generations that were rolled back: a rollback without an epoch does not go there.
        held: What rollbacks set aside of each plugin and pipeline: what serves stays in its place.
        quarantine: What was refused: where nobody asked, what serves stays in its place.
    """

    committed: tuple[Snapshot, ...] = ()
    kept: tuple[Snapshot, ...] = ()
    set_aside: frozenset[str] = frozenset()
    held: frozenset[Held] = frozenset()
    quarantine: tuple[Quarantined, ...] = ()


class Scanner:
    """Turns disk and configuration into candidates. Every call blocks; one at a time, off the loop.

    Made when the supervisor starts, before the application is imported: the application's content
    is recorded then. The first candidate has it, and later ones carry what is committed until new
    processes are made.

    Args:
        booted: The settings that the service runs with; what only a restart changes is kept from them.
        read_settings: Reads them again for each scan.
        store: The artifact store.
        apart: Folders that are no part of the application wherever they lie: state and runtime.

    Raises:
        UnreadableArtifact: The application's files cannot be read.
    """

    def __init__(self, booted: Settings, read_settings: ReadSettings, store: Path, apart: Iterable[Path] = ()) -> None:
        self._booted = booted
        self._read_settings = read_settings
        self._store = store
        self._apart = (store, *apart)
        self._unstored = self._read_application() if booted.app else None
        self._recorded = _spec(booted, self._unstored) if self._unstored else None

    def store_application(self) -> ApplicationSpec | None:
        """Store what the application consisted of when this was made; None without an application.

        Raises:
            OSError: The disk does not take it.
        """
        if self._unstored is not None:
            self._unstored.put(self._store)
            self._unstored = None
        return self._recorded

    def scan(
        self, request: CutoverRequest, epoch: int, current: Snapshot | None, past: Past | None = None
    ) -> ScanResult:
        """Find out what a request would serve, after clearing the store of what nobody can ask for any more.

        Args:
            request: What is wished for.
            epoch: The number of the candidate.
            current: What is served; None when nothing is.
            past: What the journal remembers; None removes nothing from the store.

        Returns:
            A candidate whose artifacts are all in the store, or why there is none.
        """
        try:
            if past is not None:
                besides = (self._recorded,) if self._recorded else ()
                collect(self._store, [*past.kept, *past.committed, *([current] if current else [])], besides)
            if request.action is Action.ROLLBACK:
                return self._roll_back(request, epoch, current, past or Past())
            past = past or Past()
            past = msgspec.structs.replace(
                past,
                held=frozenset() if request.force else past.held,
                quarantine=past.quarantine if request.policy else (),
            )
            return self._reload(request, epoch, current, past)
        except ManifestInvalid as error:
            return ScanRefused(refusals(of_manifest(error)))
        except ArtifactError as error:
            return _refused(str(error), Fault.RESOURCE)
        except OSError as error:
            return _refused(f"{error.filename or self._store}: {error.strerror}", Fault.RESOURCE)

    def _reload(self, request: CutoverRequest, epoch: int, current: Snapshot | None, past: Past) -> ScanResult:
        checked = self._read_settings()
        if checked.settings is None:
            return ScanRefused(refusals(of_config(checked.errors)))
        settings = msgspec.structs.replace(checked.settings, app=self._booted.app)
        listing = read_folder(Path(settings.plugins.dir)) if settings.plugins.dir else Listing()
        reach = Reach(request, checked.settings, current)
        selected = select(listing, settings, current, reach, self._store, past.held, past.quarantine)
        layout, not_taken = self._laid_out(selected, checked.file, settings, reach, current, past.held)
        spec = self._application(request, current)
        made = self._candidate(selected, layout, not_taken, spec, request, epoch, current)
        if isinstance(made, ScanRefused):
            return made
        content = self._read_application() if spec else None
        roll = (
            *(self._roll_notes(checked.settings, spec, content) if reach.application else ()),
            *(restart_notes(self._booted, checked.settings) if reach.configuration else ()),
        )
        if current is not None and made.digest == current.digest and not request.force:
            return _unchanged(selected.notes, not_taken, roll)
        if not request.dry_run:
            self._put(selected, made, content)
        lines = summary(current, made, lambda old, new: self._differing(old, new, selected.files))
        notes = [*selected.notes, *not_taken, *_named(roll)]
        if request.dry_run or request.origin.trigger is Trigger.BOOT:
            notes += [f"ignored: {path}" for path in listing.ignored]
            notes += unused(lay_out(settings, selected.contents).plans, selected.contents, settings)
        return Candidate(made, (*lines, *notes))

    def _laid_out(
        self,
        selected: Selection,
        origin: str,
        settings: Settings,
        reach: Reach,
        current: Snapshot | None,
        held: frozenset[Held],
    ) -> tuple[Layout, tuple[str, ...]]:
        """The candidate's pipelines, and everything of the disk that is held."""
        layout = lay_out(settings, selected.contents, origin)
        if reach.limited and current is not None:
            layout = within(reach, layout, current)
        layout, not_taken = without_held(layout, held, selected.contents, current)
        return layout, (*selected.held, *not_taken)

    def _candidate(
        self,
        selected: Selection,
        layout: Layout,
        not_taken: tuple[str, ...],
        spec: ApplicationSpec | None,
        request: CutoverRequest,
        epoch: int,
        current: Snapshot | None,
    ) -> Snapshot | ScanRefused:
        contents = selected.contents
        problems = [*selected.problems, *layout.problems, *unmet(contents)]
        problems += contradictions(layout.plans, contents, spec is not None)
        if problems:
            return ScanRefused(refusals([*problems, *map(Problem, not_taken)]))
        units = candidate.assemble(contents, spec, layout.plans, epoch)
        routes = [route for plan in layout.plans for route in plan.routes]
        return candidate.snapshot(units, routes, epoch, current, request.origin.label)

    def _put(self, selected: Selection, made: Snapshot, content: ApplicationContent | None) -> None:
        """Store what the candidate names; what it carries over is read back, so that it is known to be whole."""
        self.store_application()
        fresh = {**selected.files, **(content.stored() if content else {})}
        for digest in [digest for unit in made.units for digest in artifacts_of(unit)]:
            if digest in fresh:
                put(self._store, fresh[digest])
            get(self._store, digest)

    def _roll_back(self, request: CutoverRequest, epoch: int, current: Snapshot | None, past: Past) -> ScanResult:
        earlier = current and rollback.target(past.committed, current, request.to, past.set_aside, past.held)
        if current is None or earlier is None:
            wanted = "no earlier content is kept" if request.to is None else f"epoch {request.to} is not kept"
            return _refused(f"{wanted}; `changeover history` lists what can be gone back to", Fault.CONFIG)
        made = rollback.restored(earlier, current, epoch, request.origin.label)
        if made.digest == current.digest and not request.force:
            return NothingChanged()
        self._put(Selection(), made, None)
        lines = summary(current, made, lambda old, new: self._differing(old, new, {}))
        return Candidate(made, (*lines, *rollback.left_out(earlier, current)), restores=earlier.epoch)

    def _read_application(self) -> ApplicationContent:
        app, plugins = self._booted.app, self._booted.plugins.dir
        assert app is not None
        return read_application(app, [*self._apart, *([Path(plugins)] if plugins else [])])

    def _application(self, request: CutoverRequest, current: Snapshot | None) -> ApplicationSpec | None:
        """The application of the candidate: what is committed, except at a start, which takes what it found on disk."""
        committed = current.application if current and request.origin.trigger is not Trigger.BOOT else None
        carried = self._recorded is not None and committed is not None and committed.artifact
        return committed if carried else self._recorded

    def _roll_notes(
        self, settings: Settings, spec: ApplicationSpec | None, content: ApplicationContent | None
    ) -> tuple[str, ...]:
        if not _same_application(settings, self._booted):
            return ("app: other settings (needs a roll)",)
        if spec is None or content is None:
            return ()
        return tuple(f"app: {change} (needs a roll)" for change in content.changes(spec, self._store))

    def _differing(self, old: str, new: str, fresh: dict[str, dict[str, bytes]]) -> int:
        return len(differing(get(self._store, old), fresh.get(new) or get(self._store, new)))


def _spec(booted: Settings, content: ApplicationContent) -> ApplicationSpec:
    assert booted.app is not None
    return candidate.application_spec(booted.app, content.artifact, content.installed, 1)


def _same_application(one: Settings, other: Settings) -> bool:
    """Whether what serves is the same; when changed files are taken is nothing that serves."""
    if one.app is None or other.app is None:
        return one.app is other.app
    return one.app == msgspec.structs.replace(other.app, reload=one.app.reload)


def _refused(message: str, fault: Fault) -> ScanRefused:
    return ScanRefused(refusals([Problem(message, fault=fault)]))


def _unchanged(notes: tuple[str, ...], held: tuple[str, ...], roll: tuple[str, ...]) -> ScanResult:
    """What it amounts to that a candidate would serve what is served already."""
    if held:
        return HeldBack((*held, *notes, *_named(roll)))
    return RollNeeded(roll) if roll else NothingChanged(notes)


def _named(roll: tuple[str, ...]) -> Iterator[str]:
    return (f"not taken: {line}" for line in roll)
