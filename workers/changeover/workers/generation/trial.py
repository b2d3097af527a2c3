"""Loads one plugin for its author, in a process of its own.

`python -P -m changeover.workers.generation.trial QUESTION ANSWER`: descriptors of a file with a `Trial`, and of a file
for a `Tried`.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

import msgspec
import uvloop

from changeover.workers.errors import ChangeoverError
from changeover.workers.generation.solo import SoloSnapshot, store_plugin
from changeover.workers.generation.switch import Generation
from changeover.workers.generation.workshop import Workshop
from changeover.workers.plugins import artifact, state
from changeover.workers.plugins.loaded import LoadedPlugin
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import EMPTY, UnitKey
from changeover.workers.protocol.trial import Trial, Tried
from changeover.workers.serving import attribution

LONGEST = 64 * 1024
"""Characters of a traceback that are told, the last ones."""


async def tried(trial: Trial, store: Path) -> Tried:
    """Load a plugin with its services as a candidate, and unload it: nothing is activated, nothing is served.

    Args:
        trial: What to load.
        store: An empty folder.
    """
    try:
        own = store_plugin(Path(trial.plugin), store, msgspec.msgpack.decode(trial.config))
        stored = [
            store_plugin(Path(path), store, msgspec.msgpack.decode(config)) for path, config in trial.beside.items()
        ]
        solo = SoloSnapshot(1, EMPTY)
        solo.add_plugins({each.manifest.id: each for each in [*stored, own]})
        solo.add_services(own.manifest)
    except ChangeoverError as error:
        return Tried(reason=str(error))
    late: list[Refusal] = []
    workshop = Workshop(
        store, hook_deadline=trial.hook, on_drained=_drained, on_degraded=late.append, stage="preflight"
    )
    built = await workshop.build(solo.snapshot())
    if isinstance(built, Refusal):
        await workshop.close()
        return Tried(refusal=built)
    [plugin] = [unit for unit in _plugins_of(built) if unit.version.id == own.manifest.id]
    refusal, caveats = await state.lost(plugin), state.caveats(plugin)
    await workshop.close()
    return Tried(refusal=refusal or next(iter(late), None), caveats=caveats)


def _drained(units: tuple[UnitKey, ...]) -> None:
    """Nothing ever served, so nothing drains."""


def _plugins_of(built: Generation) -> list[LoadedPlugin]:
    return [unit for unit in built.units.values() if isinstance(unit, LoadedPlugin)]


async def _attributed(trial: Trial, store: Path) -> Tried:
    attribution.install(asyncio.get_running_loop())
    return await tried(trial, store)


def main(asked: str, answers: str) -> None:
    """Answer what was asked."""
    with open(int(asked), "rb") as file:
        trial = msgspec.msgpack.decode(file.read(), type=Trial)
    with tempfile.TemporaryDirectory(prefix="changeover-") as folder:
        store = Path(folder)
        try:
            answer = uvloop.run(_attributed(trial, store))
        finally:
            for stored in store.iterdir():
                artifact.remove(store, stored.name)
    with open(int(answers), "wb") as pipe:
        pipe.write(msgspec.msgpack.encode(_short(answer)))


def _short(answer: Tried) -> Tried:
    if answer.refusal is None:
        return answer
    refusal = msgspec.structs.replace(answer.refusal, traceback=answer.refusal.traceback[-LONGEST:])
    return msgspec.structs.replace(answer, refusal=refusal)


if __name__ == "__main__":
    main(*sys.argv[1:])
