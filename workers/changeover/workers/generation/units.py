"""What every unit of a worker has, and what a unit sees of the others while it is prepared.

A unit is made first and prepared then, so that whoever builds a generation holds everything that
was begun and can end it, in reverse.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from changeover.workers.errors import ChangeoverError
from changeover.workers.plugins.lifecycle import Lifecycle, Step
from changeover.workers.plugins.link import Offered
from changeover.workers.plugins.loaded import LoadedPlugin
from changeover.workers.plugins.remains import Remains
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import PluginBefore, UnitKey, UnitKind, UnitRef
from changeover.workers.serving.answering import Answering
from changeover.workers.serving.attribution import UnitWork

NOTHING_BEFORE: Mapping[str, PluginBefore] = MappingProxyType({})


class Missing(ChangeoverError):
    """A snapshot names a unit that it does not contain: a bug in whoever made it.

    Attributes:
        ref: The unit that is missed.
    """

    def __init__(self, ref: UnitRef) -> None:
        self.ref = ref
        super().__init__(f"bug: the snapshot requires {ref} and does not contain it")


class Unit(ABC):
    """One unit that lives in this worker.

    Args:
        key: Its identity.

    Attributes:
        key: Its identity.
        lifecycle: Where it stands.
    """

    def __init__(self, key: UnitKey) -> None:
        self.key = key
        self.lifecycle = Lifecycle(str(key.ref))

    @property
    @abstractmethod
    def value(self) -> object:
        """The live instance, the same in every generation that contains the unit."""

    @abstractmethod
    async def prepare(self, others: "Others") -> None:
        """Make it ready to serve.

        Args:
            others: The units that come before it.

        Raises:
            Refused: It cannot serve; `end` undoes what was begun.
        """

    @abstractmethod
    async def end(self) -> Refusal | None:
        """Undo `prepare`, once; what went wrong is told, and everything is undone all the same."""

    def serves(self) -> None:
        """Note that what serves contains it from now on."""
        self.lifecycle.advance(Step.ACTIVATE)

    async def activate(self) -> Refusal | None:
        """Do what comes after the commit; what went wrong is told."""
        return None

    async def deactivate(self) -> Refusal | None:
        """Do what comes after the commit that replaced it; what went wrong is told."""
        return None

    def drained(self) -> None:  # noqa: B027 - most units tell nobody
        """Note that what serves lacks it, and that no lease holds it any more."""

    @property
    def exclusive(self) -> bool:
        """Whether it is active in one worker only: `activate` begins that, and `deactivate` ends it."""
        return False

    @property
    def leads(self) -> bool:
        """Whether its exclusive work runs here, or may still."""
        return False

    @property
    def exclusive_work(self) -> UnitWork | None:
        """What that work started; None while it does not run here."""
        return None

    async def hand_on(self, successor: "Unit") -> Refusal | None:
        """Give what came to it since `successor`, which serves in its place, was prepared; what went wrong is told."""
        return None

    def remains(self) -> tuple[UnitWork, Remains | None]:
        """After `end`: the tasks and threads that it started, and what tells whether its modules are gone."""
        return UnitWork(str(self.key.ref)), None

    def linked(self) -> None:
        """Note that it is prepared."""
        self.lifecycle.advance(Step.LINK)
        self.lifecycle.advance(Step.INITIALISE)


class AnsweringUnit(Unit):
    """A unit that can stand at the end of a pipeline."""

    @property
    @abstractmethod
    def value(self) -> Offered:
        """What answers there."""


class Others:
    """The units of a candidate that are ready, by name, and what served before.

    Args:
        epoch: The candidate's.
        serving: What serves now, by plugin id.
        before: What served when a roll was made of it, by plugin id: its processes have nothing that serves.
        afresh: Whether plugins may begin without state that they are not given.

    Attributes:
        epoch: The candidate's.
        serving: What serves now, by plugin id.
        afresh: Whether plugins may begin without state that they are not given.
    """

    def __init__(
        self,
        epoch: int,
        serving: Mapping[str, LoadedPlugin],
        before: Mapping[str, PluginBefore] = NOTHING_BEFORE,
        afresh: bool = False,
    ) -> None:
        self.epoch = epoch
        self.serving = serving
        self.afresh = afresh
        self._before = before
        self._units: dict[UnitRef, Unit] = {}

    def add(self, unit: Unit) -> None:
        """A unit is ready."""
        self._units[unit.key.ref] = unit

    def before(self, name: str) -> PluginBefore | None:
        """What the candidate replaces of a plugin, here or in other processes."""
        old = self.serving.get(name)
        if old is None:
            return self._before.get(name)
        return PluginBefore(name, old.version.version, old.version.digest, old.spec.artifact)

    def keys(self, refs: Iterable[UnitRef]) -> frozenset[UnitKey]:
        """The identities of units that are ready."""
        return frozenset(self._units[ref].key for ref in refs if ref in self._units)

    def plugin(self, name: str) -> LoadedPlugin:
        """A plugin by its id.

        Raises:
            Missing: There is none.
        """
        unit = self._units.get(UnitRef(UnitKind.PLUGIN, name))
        plugin = None if unit is None else unit.value
        if not isinstance(plugin, LoadedPlugin):
            raise Missing(UnitRef(UnitKind.PLUGIN, name))
        return plugin

    def answering(self, ref: UnitRef | None) -> Answering:
        """What stands at the end of a pipeline.

        Raises:
            Missing: There is none.
        """
        if ref is None:
            return None
        unit = self._units.get(ref)
        if not isinstance(unit, AnsweringUnit):
            raise Missing(ref)
        return unit.value
