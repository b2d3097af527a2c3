"""Runs the self-tests of what is new in a candidate, once all of it is ready and before anything of it is activated."""

from collections.abc import Collection
from dataclasses import dataclass

from changeover.workers.generation.switch import Generation
from changeover.workers.plugins.loaded import LoadedPlugin
from changeover.workers.plugins.refused import Refused
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import UnitKey
from changeover.workers.serving.offering import building


@dataclass(frozen=True, slots=True)
class SelfTests:
    """What came of self-tests.

    Attributes:
        refusal: Why one of them failed; None when none did.
        passed: How many passed.
        tests: How many there are.
    """

    refusal: Refusal | None = None
    passed: int = 0
    tests: int = 0


UNTESTED = SelfTests()
"""Nothing was tested."""


async def self_tested(built: Generation, before: Collection[UnitKey]) -> SelfTests:
    """Run them in the order in which plugins were initialised, up to the first that fails.

    Args:
        built: The candidate; extension points give its plugins.
        before: The units that serve already, and are not tested again.
    """
    plugins = [unit for unit in built.units.values() if isinstance(unit, LoadedPlugin)]
    fresh = [plugin for plugin in plugins if plugin.is_tested and plugin.spec.key not in before]
    with building() as candidate:
        for plugin in plugins:
            candidate.add(plugin.extensions)
        for passed, plugin in enumerate(fresh):
            try:
                await plugin.test()
            except Refused as refused:
                return SelfTests(refused.refusal, passed, len(fresh))
    return SelfTests(None, len(fresh), len(fresh))
