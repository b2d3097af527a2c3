"""One scan from end to end: what a request would serve, stored and ready, or why nothing can."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from changeover.supervisor.artifacts import candidate
from changeover.supervisor.artifacts.addresses import Chosen, choose
from changeover.supervisor.artifacts.application import differing, read_application
from changeover.supervisor.artifacts.attributing import label
from changeover.supervisor.artifacts.channels import Channels, carried_over, read_channels
from changeover.supervisor.artifacts.collection import artifacts_of, collect
from changeover.supervisor.artifacts.compiling import Compiler
from changeover.supervisor.artifacts.content import Content, carried
from changeover.supervisor.artifacts.dependencies import lacking
from changeover.supervisor.artifacts.difference import changed_files, summary
from changeover.supervisor.artifacts.editing import edit, kept_and_dropped, with_edits
from changeover.supervisor.artifacts.initializers import checked_selection, without_withheld
from changeover.supervisor.artifacts.installed import absent, listed
from changeover.supervisor.artifacts.layout import Layout, contradictions, lay_out, of_no_plugin, unused, within
from changeover.supervisor.artifacts.problems import Problem, of_config, of_manifest, refusals
from changeover.supervisor.artifacts.reach import Reach
from changeover.supervisor.artifacts.removal import without_plugin
from changeover.supervisor.artifacts.replacing import as_roll, rolling
from changeover.supervisor.artifacts.requirements import unmet
from changeover.supervisor.artifacts.restoring import Restoring
from changeover.supervisor.artifacts.selection import Selection, concerned_by, select
from changeover.supervisor.artifacts.standing import restart_notes
from changeover.supervisor.artifacts.storing_again import store_again
from changeover.supervisor.artifacts.survey import Survey, survey
from changeover.supervisor.artifacts.taking import Disk, Taken, take
from changeover.supervisor.artifacts.withheld import without_held
from changeover.supervisor.config.check import Checked
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.core.edits import PipelineEdit, RemovePlugin
from changeover.supervisor.core.entries import Held, Quarantined, SlotRefusal, Trigger
from changeover.supervisor.core.outcome import (
    Action,
    Candidate,
    CutoverRequest,
    HeldBack,
    NothingChanged,
    RollNeeded,
    ScanRefused,
    ScanResult,
    Strategy,
)
from changeover.supervisor.interpreters.answer import Answer, InterpreterUnfit
from changeover.supervisor.interpreters.asking import Interpreters
from changeover.supervisor.interpreters.choice import standing_interpreter, still_holding, wanted
from changeover.supervisor.interpreters.paths import OURS, executable
from changeover.workers.pinned.distributions import Distributions
from changeover.workers.plugins.artifact import ArtifactError, get, put
from changeover.workers.plugins.manifest_reading import ManifestInvalid
from changeover.workers.protocol.refusal import Fault, Stage
from changeover.workers.protocol.snapshot import Interpreter, PluginSpec, Snapshot

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

    Args:
        booted: The settings that the service runs with; what only a restart changes is kept from them.
        read_settings: Reads them again for each scan.
        store: The artifact store.
        apart: Folders that are no part of the application wherever they lie: state and runtime.
        interpreters: Answers whether an interpreter can execute what is to serve; None asks as this process is.
    """

    def __init__(
        self,
        booted: Settings,
        read_settings: ReadSettings,
        store: Path,
        apart: Iterable[Path] = (),
        interpreters: Interpreters | None = None,
    ) -> None:
        self._booted = booted
        self._read_settings = read_settings
        self._store = store
        self._apart = (store, *apart)
        self._interpreters = interpreters or Interpreters()
        self._compiler = Compiler(store, self._interpreters)

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
                collect(self._store, [*past.kept, *past.committed, *([current] if current else [])])
            if request.action is Action.ROLLBACK:
                return self._roll_back(request, epoch, current, past or Past())
            if request.edit is not None:
                return self._edit(request, request.edit, epoch, current)
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
        except InterpreterUnfit as error:
            return ScanRefused((SlotRefusal(-1, 0, error.refusal(Stage.SCAN)),))
        except OSError as error:
            return _refused(f"{error.filename or self._store}: {error.strerror}", Fault.RESOURCE)

    def survey(self, current: Snapshot | None, held: Iterable[Held], quarantine: tuple[Quarantined, ...]) -> Survey:
        """Look at what lies on disk beside what serves. Changes nothing, and may be called while a scan runs."""
        python = OURS if current is None else current.interpreter.python or OURS
        try:
            announced = self._interpreters.ask(python).plugins
        except InterpreterUnfit as error:
            return Survey(problem=str(error))
        return survey(self._read_settings(), current, held, quarantine, self._store, announced)

    def _reload(self, request: CutoverRequest, epoch: int, current: Snapshot | None, past: Past) -> ScanResult:
        checked = self._read_settings()
        if checked.settings is None:
            return ScanRefused(refusals(of_config(checked.errors)))
        settings = checked.settings
        reach = Reach(request, settings, current)
        disk = self._read_application(request, settings, current)
        taken = take(disk, request, reach, epoch, current, past.held, self._store)
        listing = listed(settings.plugins.dir, announced := disk.announced(taken.interpreter))
        again = () if request.dry_run else store_again(current, listing, disk.content.stored(), self._store)
        selected = select(listing, settings, current, reach, self._store, past.held, past.quarantine)
        layout, not_taken = self._laid_out(selected, checked.file, settings, reach, current, past.held)
        kept, dropped = kept_and_dropped(layout, current)
        lacks = tuple(self._lacking(selected.contents, disk, taken, current))
        selected = msgspec.structs.replace(selected, problems=(*selected.problems, *lacks))
        addresses = choose(settings.bind, request, reach, current, past.held)
        channels = self._channels(settings, addresses, reach, epoch, current)
        channels, not_selected = without_withheld(channels, selected.contents, listing.plugins, current)
        not_taken = (*not_taken, *taken.held, *addresses.held, *not_selected)
        channels = checked_selection(channels, settings, selected.contents, selected.broken, checked.file)
        made = self._candidate(selected, layout, not_taken, taken, addresses, channels, request, epoch, current)
        if isinstance(made, ScanRefused):
            return made
        there = listing.plugins.keys() | selected.contents.keys() | concerned_by(listing.problems)
        strange = of_no_plugin(settings, there) if reach.configuration and not listing.unasked else ()
        notes = (*again, *selected.notes, *standing_interpreter(taken.interpreter), *kept, *strange)
        rolls = (*selected.rolling, *taken.changed, *addresses.changed)
        standing = (*rolls, *(restart_notes(self._booted, settings) if reach.configuration else ()))
        if current is not None and made.serves_as(current) and not _forced(request):
            return _unchanged(notes, not_taken, standing, bool(rolls))
        fresh = {**selected.files, **disk.content.stored(), **channels.files}
        why = rolling(made, current, self._store, selected.contents, selected.files)
        if current is not None and why and not made.is_roll:
            if request.strategy is Strategy.SWAP:
                return _only_rolls(why)
            made = as_roll(made, current)
            if lacks := tuple(self._lacking(selected.contents, disk, taken, None)):
                return ScanRefused(refusals(lacks), (*selected.notes, *not_taken))
        if made.is_roll and announced is not None and (gone := tuple(absent(made, announced))):
            return ScanRefused(refusals(gone), (*selected.notes, *not_taken))
        made = msgspec.structs.replace(made, label=label(request, settings, listing, reach, current, made))
        if not request.dry_run:
            self._put(fresh, made)
        lines = summary(current, made, lambda old, new: self._differing(old, new, fresh), why)
        lines = (*dropped, *lines, *notes, *not_taken, *_named(standing))
        if request.dry_run or request.origin.trigger is Trigger.BOOT:
            ignored = [f"ignored: {path} ({why})" for path, why in listing.ignored.items()]
            without_use = unused(lay_out(settings, selected.contents).plans, selected.contents, settings)
            lines = (*lines, *ignored, *without_use)
        files = changed_files(current, made, lambda digest: self._files(digest, fresh)) if request.dry_run else {}
        return Candidate(made, lines, files=files, exempt=settings.plugins.exempt)

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
        layout = with_edits(lay_out(settings, selected.contents, origin), current)
        if reach.limited and current is not None:
            layout = within(reach, layout, current)
        layout, not_taken = without_held(layout, held, selected.contents, current)
        return layout, (*selected.held, *not_taken)

    def _candidate(
        self,
        selected: Selection,
        layout: Layout,
        not_taken: tuple[str, ...],
        taken: Taken,
        addresses: Chosen,
        channels: Channels,
        request: CutoverRequest,
        epoch: int,
        current: Snapshot | None,
    ) -> Snapshot | ScanRefused:
        contents = selected.contents
        problems = [*selected.problems, *layout.problems, *unmet(contents, selected.broken)]
        problems += channels.problems
        problems += contradictions(layout.plans, contents, taken.spec is not None, selected.broken)
        if problems:
            return ScanRefused(refusals(problems), (*selected.notes, *not_taken))
        units = candidate.assemble(contents, taken.spec, layout.plans, epoch, channels.specs)
        routes = [route for plan in layout.plans for route in plan.routes]
        executes, listen, rolls = taken.interpreter, addresses.listen, taken.rolls or addresses.rolls
        named = request.origin.label
        return candidate.snapshot(
            units, routes, epoch, current, named, rolls=rolls, interpreter=executes, listen=listen
        )

    def _channels(
        self, settings: Settings, addresses: Chosen, reach: Reach, epoch: int, current: Snapshot | None
    ) -> Channels:
        if current is not None and (reach.names or not reach.configuration):
            return carried_over(current, addresses.listen)
        return read_channels(settings, addresses.listen, epoch)

    def _put(self, fresh: Mapping[str, dict[str, bytes]], made: Snapshot) -> None:
        """Store what the candidate names, and compile it; all is read back, so that it is known to be whole."""
        whole: dict[str, dict[str, bytes]] = {}
        for digest in [digest for unit in made.units for digest in artifacts_of(unit)]:
            if digest in fresh:
                put(self._store, fresh[digest])
            whole[digest] = get(self._store, digest)
        plugins = [unit.artifact for unit in made.units if isinstance(unit, PluginSpec) and not unit.distribution]
        self._compiler.compile(made.interpreter, {digest: whole[digest] for digest in plugins})

    def _roll_back(self, request: CutoverRequest, epoch: int, current: Snapshot | None, past: Past) -> ScanResult:
        found = None
        if current is not None:
            restoring = Restoring(request, epoch, current, self._store, self._interpreters)
            found = restoring.find(past.committed, past.set_aside, past.held)
        if current is None or found is None:
            wanted = "no earlier content is kept" if request.to is None else f"epoch {request.to} is not kept"
            return _refused(f"{wanted}; `changeover history` lists what can be gone back to", Fault.CONFIG)
        made = found.made
        if made.digest == current.digest and not _forced(request):
            return NothingChanged(found.notes)
        if found.rolling and not made.is_roll:
            return _only_rolls(found.rolling)
        self._put(found.files, made)
        lacks = self._lacking_anew(made) if made.is_roll and not found.unfit else ()
        if lacks and request.origin.trigger is not Trigger.RESCUE:
            return ScanRefused(refusals(lacks))
        lines = summary(current, made, lambda old, new: self._differing(old, new, {}), found.rolling)
        lines = (*lines, *found.notes, *(f"missing: {lack.message}" for lack in lacks))
        return Candidate(made, lines, restores=found.earlier.epoch, exempt=self._exempt())

    def _edit(
        self, request: CutoverRequest, wanted: PipelineEdit | RemovePlugin, epoch: int, current: Snapshot | None
    ) -> ScanResult:
        if current is None:
            return _refused("nothing serves yet that could be edited", Fault.CONFIG)
        changed = (request.origin.label, epoch, current, self._store)
        made = edit(wanted, *changed) if isinstance(wanted, PipelineEdit) else without_plugin(wanted, *changed)
        if isinstance(made, ScanRefused):
            return made
        if made.digest == current.digest and not _forced(request):
            return NothingChanged()
        if why := rolling(made, current, self._store, {}, {}):
            if request.strategy is Strategy.SWAP:
                return _only_rolls(why)
            made = as_roll(made, current)
        self._put({}, made)
        if lacks := self._lacking_anew(made) if made.is_roll else ():
            return ScanRefused(refusals(lacks))
        lines = summary(current, made, lambda old, new: self._differing(old, new, {}), why)
        return Candidate(made, lines, exempt=self._exempt())

    def _exempt(self) -> tuple[str, ...]:
        return (self._read_settings().settings or self._booted).plugins.exempt

    def _read_application(self, request: CutoverRequest, settings: Settings, current: Snapshot | None) -> Disk:
        interpreter, answer = self._ask(request, executable(settings.python), current)
        if settings.app is None:
            return Disk(answer, interpreter=interpreter)
        plugins = [settings.plugins.dir] if settings.plugins.dir else []
        apart = [*self._apart, *map(Path, (*plugins, *answer.folders))]
        content = read_application(settings.app, apart, answer.search)
        return Disk(answer, settings.app, content, interpreter)

    def _lacking(
        self, contents: Mapping[str, Content], disk: Disk, taken: Taken, current: Snapshot | None
    ) -> Iterator[Problem]:
        """What plugins need and is not installed where they are to run.

        Args:
            contents: Every plugin.
            disk: What lies on disk beside them.
            taken: What executes them, perhaps in new processes.
            current: What serves, and has what it needs in processes that live; None where it goes to new ones as well.
        """
        units = current.units if current is not None and not taken.rolls else ()
        serving = {unit.key.ref.name: unit.artifact for unit in units if isinstance(unit, PluginSpec)}
        concerned = {
            plugin
            for plugin, content in contents.items()
            if content.manifest.dependencies and serving.get(plugin) != content.artifact
        }
        if not concerned:
            return
        same = taken.interpreter.python == disk.interpreter.python
        answer = disk.answer if same else self._interpreters.ask(taken.interpreter.python or OURS)
        yield from lacking(contents, concerned, Distributions.found(answer.search).versions, taken.interpreter)

    def _lacking_anew(self, made: Snapshot) -> tuple[Problem, ...]:
        """What plugins need and is not installed where all of them run in new processes."""
        plugins = [unit for unit in made.units if isinstance(unit, PluginSpec)]
        contents = {unit.key.ref.name: carried(unit, self._store) for unit in plugins}
        if not any(each.distribution or each.manifest.dependencies for each in contents.values()):
            return ()
        answer = self._interpreters.ask(made.interpreter.python or OURS)
        versions = Distributions.found(answer.search).versions
        lacks = lacking(contents, contents.keys(), versions, made.interpreter)
        return (*absent(made, answer.plugins), *lacks)

    def _ask(self, request: CutoverRequest, configured: str, current: Snapshot | None) -> tuple[Interpreter, Answer]:
        """What is to execute it. A start does without one that only holds and is gone: it could not serve with it."""
        python = wanted(request, configured, None if current is None else current.interpreter)
        try:
            answer = self._interpreters.ask(python)
        except InterpreterUnfit as error:
            if python == configured or request.python:
                raise
            if request.origin.trigger is not Trigger.BOOT:
                raise still_holding(error, configured) from error
            python, answer = configured, self._interpreters.ask(configured)
        return Interpreter(python, answer.version, configured), answer

    def _differing(self, old: str, new: str, fresh: Mapping[str, dict[str, bytes]]) -> int:
        return len(differing(get(self._store, old), self._files(new, fresh)))

    def _files(self, digest: str, fresh: Mapping[str, dict[str, bytes]]) -> dict[str, bytes]:
        return fresh.get(digest) or get(self._store, digest)


def _forced(request: CutoverRequest) -> bool:
    """Whether unchanged content is made an epoch all the same."""
    return request.force or request.strategy is Strategy.ROLL


def _refused(message: str, fault: Fault) -> ScanRefused:
    return ScanRefused(refusals([Problem(message, fault=fault)]))


def _only_rolls(why: Mapping[str, str]) -> ScanRefused:
    """Refuse a swap that these plugins do not stand."""
    problems = [
        Problem(f"{plugin} cannot be swapped ({reason}); `changeover reload` rolls", fault=Fault.CONFIG, plugin=plugin)
        for plugin, reason in why.items()
    ]
    return ScanRefused(refusals(problems))


def _unchanged(notes: tuple[str, ...], held: tuple[str, ...], standing: tuple[str, ...], rolls: bool) -> ScanResult:
    """What it amounts to that a candidate would serve what is served already."""
    if held:
        return HeldBack((*held, *notes, *_named(standing)))
    return RollNeeded(standing, rolls) if standing else NothingChanged(notes)


def _named(standing: tuple[str, ...]) -> Iterator[str]:
    return (f"not taken: {line}" for line in standing)
