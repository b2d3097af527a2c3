"""What one content of a plugin goes on with of the one before it: exported, imported, merged.

Exported and imported before the commit, while requests write on: what they wrote since is merged
right after it, and once more when the last of them is over. The bytes that went over last are kept
with whoever exported them, so that nothing refers from the new content to the old one.
"""

import math
from collections.abc import Iterator
from types import FunctionType

import msgspec
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from changeover.workers.plugins.api import overrides
from changeover.workers.plugins.lifecycle import State
from changeover.workers.plugins.loaded import LoadedPlugin
from changeover.workers.plugins.refused import ContractBroken, Refused, StateTooLarge, refusal_of
from changeover.workers.plugins.resources import PluginVersion
from changeover.workers.plugins.undecoded import undecoded
from changeover.workers.protocol.plugin_messages import MOST_STATE
from changeover.workers.protocol.refusal import Fault, Refusal, Stage

NOTHING = b""
"""What a merge is told was imported, where nothing was exported."""
UNMERGED = "it has export_state and no merge_state: what is written between the export and the commit is lost"
UNIMPORTED = "it has export_state and no import_state: nothing that it exports goes over to another version or process"
UNTAKEN = "it has import_state, and its manifest does not say whose state it takes: it begins without any"
UNLED = "it has export_state and is a singleton: in a roll its state goes to one successor, and another one may lead"
UNDECODED = "its {hook} has `{parameter}`, and is given bytes: msgspec.msgpack.decode makes a Struct of them again"
PATIENCE = 5.0
"""Seconds that what may begin without state waits for it: workers may be asked one after the other."""
LOSING = "as it stands, what replaces it some day could only begin without its state"
WAYS_OUT = "mend what it keeps, or begin without its state: by a rollback, or `changeover reload --force`"
NO_MERGE = "it has no merge_state, and goes on with something else already"
"""Why state is not taken that comes from another process."""


async def take_over(new: LoadedPlugin, old: LoadedPlugin, afresh: bool = False) -> None:
    """Give `new`, which is initialised and does not serve, what `old` has, which does.

    Args:
        new: Takes it.
        old: Gives it.
        afresh: Whether `new` may begin without what `old` fails to give.

    Raises:
        Refused: One of the hooks failed, or it is too much.
    """
    if not exports(old):
        return
    why = why_not(new, old.version)
    if why:
        new.witness.not_taken(new.version, old.version, why)
        return
    try:
        state = await exported(old, Stage.INITIALISE, patience(afresh))
    except Refused as refused:
        if not afresh:
            raise Refused(ungiven(old, refused.refusal)) from None
        new.witness.not_taken(new.version, old.version, not_given(old, refused.refusal))
        return
    if state is not None:
        await new.ask("import_state", old.version, state, stage=Stage.INITIALISE)
    old.exported, new.took_over = state or NOTHING, True


async def merge(new: LoadedPlugin, old: LoadedPlugin) -> Refusal | None:
    """Give `new`, which serves, what came to `old` since it was asked the last time; what went wrong is told."""
    if old.exported is None or not new.took_over or not _has(new, "merge_state"):
        return None
    why = why_not(new, old.version)
    if why:
        new.witness.not_taken(new.version, old.version, why)
        return None
    try:
        latest = await exported(old, Stage.COMMIT)
        if latest is not None:
            await new.ask("merge_state", old.version, old.exported, latest, stage=Stage.COMMIT)
            old.exported = latest
            await _note_copies(old)
    except Refused as refused:
        return refused.refusal
    return None


async def _note_copies(old: LoadedPlugin) -> None:
    """What copies share with `old` went over with it: theirs to give is what comes to them from now on."""
    for copy in old.copies:
        copy.exported = await exported(copy, Stage.COMMIT) or NOTHING


async def inherit(new: LoadedPlugin, old: PluginVersion, imported: bytes, latest: bytes) -> Refusal | None:
    """Give `new` what a plugin of another process exported; what went wrong is told, the first time too.

    Args:
        new: Serves, or waits to serve. One that waits and has taken nothing yet imports; otherwise it merges, because
            what it has is its own or another worker's.
        old: What exported it.
        imported: What of it was taken the last time; empty where nothing was.
        latest: What it exports now.
    """
    waits = new.lifecycle.state is State.INITIALIZED
    first = waits and not new.took_over and not imported
    why = why_not(new, old) or ("" if first or _has(new, "merge_state") else NO_MERGE)
    if why:
        if not imported:
            new.witness.not_taken(new.version, old, why)
        return None
    stage = Stage.INITIALISE if waits else Stage.COMMIT
    try:
        if first:
            await new.ask("import_state", old, latest, stage=stage)
        else:
            await new.ask("merge_state", old, imported, latest, stage=stage)
    except Refused as refused:
        return refused.refusal
    new.took_over = True
    return None


def exports(plugin: LoadedPlugin) -> bool:
    """Whether a plugin has something to give."""
    return _has(plugin, "export_state")


async def lost(plugin: LoadedPlugin) -> Refusal | None:
    """Why a plugin that is to serve would give nothing to what replaces it; None where it does, or has nothing.

    Of a copy that is no new: its code serves.
    """
    if plugin.is_copy or not exports(plugin):
        return None
    try:
        await exported(plugin, Stage.INITIALISE)
    except Refused as refused:
        told = refused.refusal
        return msgspec.structs.replace(told, summary=f"{told.summary}; {LOSING}")
    return None


def ungiven(old: LoadedPlugin, refusal: Refusal) -> Refusal:
    """Why nothing can replace `old` as long as it does not give its state: that is no fault of what would replace it.

    Args:
        old: Serves.
        refusal: Why it gave nothing.
    """
    whose = f"{old.version.id} {old.version.version}, which serves, does not give its state"
    fault = refusal.fault if refusal.fault.transient else Fault.RESOURCE
    summary = f"{whose}: {refusal.placed}; {WAYS_OUT}"
    return msgspec.structs.replace(refusal, fault=fault, summary=summary, where="", source="")


def not_given(old: LoadedPlugin, refusal: Refusal) -> str:
    """Why the state of `old` is not taken, which gave none."""
    return f"export_state of {old.version.version} failed: {refusal.placed}"


def caveats(plugin: LoadedPlugin) -> tuple[str, ...]:
    """What becomes of a plugin's state, where its author may not expect that."""
    if not exports(plugin):
        return ()
    if not _has(plugin, "import_state"):
        return (UNIMPORTED,)
    told = {
        UNMERGED: not _has(plugin, "merge_state"),
        UNTAKEN: not plugin.takes,
        UNLED: plugin.exclusive,
    }
    return (*(line for line, holds in told.items() if holds), *_undecoded(plugin))


def _undecoded(plugin: LoadedPlugin) -> Iterator[str]:
    for hook in ("import_state", "merge_state"):
        function = getattr(getattr(plugin.instance, hook), "__func__", None)
        if _has(plugin, hook) and isinstance(function, FunctionType):
            yield from (UNDECODED.format(hook=hook, parameter=each) for each in undecoded(function))


def why_not(new: LoadedPlugin, old: PluginVersion) -> str:
    """Why `new` cannot take what `old` exports; empty when it can."""
    if not _has(new, "import_state"):
        return "it has no import_state"
    if not new.takes:
        oldest = min(new.version.version, old.version, key=Version)
        return f'its manifest does not say whose state it takes; write `state = ">={oldest}"`'
    if not SpecifierSet(new.takes).contains(old.version, prereleases=True):
        return f"its manifest takes the state of {new.takes}"
    return ""


def patience(afresh: bool) -> float:
    """Seconds that an export has, where those of every hook are not fewer; `afresh`: it can be done without."""
    return PATIENCE if afresh else math.inf


async def exported(plugin: LoadedPlugin, stage: Stage, within: float = math.inf) -> bytes | None:
    """What a plugin gives to the next content; None for nothing.

    Args:
        plugin: Gives it.
        stage: How far the next content came.
        within: Seconds that it has, where those of every hook are not fewer.

    Raises:
        Refused: Its hook failed, gave what is no state, or gave too much.
    """
    value = await plugin.ask("export_state", stage=stage, within=within)
    try:
        return _encoded(value)
    except Exception as error:  # noqa: BLE001 - a Struct of the plugin's may hold what cannot be encoded
        raise Refused(refusal_of(error, plugin.site(stage, "export_state"))) from None


def _encoded(value: object) -> bytes | None:
    if isinstance(value, msgspec.Struct):
        value = msgspec.msgpack.encode(value)
    if value is not None and not isinstance(value, bytes):
        fact = f"export_state gave a value of type {type(value).__name__}"
        raise ContractBroken(f"{fact}; give bytes, a msgspec Struct, or None for nothing")
    if value is not None and len(value) > MOST_STATE:
        raise StateTooLarge(len(value), MOST_STATE)
    return value


def _has(plugin: LoadedPlugin, hook: str) -> bool:
    return plugin.instance is not None and overrides(plugin.instance, hook)
