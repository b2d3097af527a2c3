"""A generation without some of its units, for whom they are in the way."""

from collections.abc import Collection

import msgspec

from changeover.workers.preflight import vacant
from changeover.workers.protocol.snapshot import (
    ApplicationSpec,
    Interface,
    PipelineSpec,
    Snapshot,
    UnitKind,
    UnitRef,
    UnitSpec,
)

VACANT = f"{vacant.__name__}:application"
"""What keeps an application's place."""


def without(snapshot: Snapshot, refs: Collection[UnitRef]) -> Snapshot:
    """Leave units out, and all that requires them; a pipeline, which has no code of its own, has what is left of it.

    Args:
        snapshot: The generation.
        refs: What is left out.
    """
    gone = set(refs)
    kept: list[UnitSpec] = []
    for unit in snapshot.units:
        rest = _rest(unit, gone) if isinstance(unit, PipelineSpec) else unit
        if unit.key.ref in gone or gone.intersection(rest.requires) or (unit.requires and not rest.requires):
            gone.add(unit.key.ref)
        else:
            kept.append(rest)
    routes = (route for route in snapshot.routes if UnitRef(UnitKind.PIPELINE, route.pipeline) not in gone)
    return msgspec.structs.replace(snapshot, units=tuple(kept), routes=tuple(routes))


def _rest(pipeline: PipelineSpec, gone: Collection[UnitRef]) -> PipelineSpec:
    if not any(ref in gone for ref in pipeline.requires):
        return pipeline
    return msgspec.structs.replace(
        pipeline,
        handlers=tuple(each for each in pipeline.handlers if UnitRef(UnitKind.PLUGIN, each.plugin) not in gone),
        target=None if pipeline.target in gone else pipeline.target,
        requires=tuple(ref for ref in pipeline.requires if ref not in gone),
    )


def vacated(snapshot: Snapshot) -> Snapshot:
    """Keep the application's place, without the application: its modules can be imported, and it is not.

    Args:
        snapshot: The generation.
    """
    return msgspec.structs.replace(snapshot, units=tuple(map(_vacated, snapshot.units)))


def _vacated(unit: UnitSpec) -> UnitSpec:
    if not isinstance(unit, ApplicationSpec):
        return unit
    return msgspec.structs.replace(unit, target=VACANT, factory=False, interface=Interface.ASGI)


def required(snapshot: Snapshot, ref: UnitRef, refs: Collection[UnitRef]) -> UnitRef:
    """Which of some units one is, or requires, at first hand or further.

    Args:
        snapshot: The generation.
        ref: The unit.
        refs: Some of which it requires.
    """
    roots = {each: each for each in refs}
    for unit in snapshot.units:
        for needed in unit.requires:
            if needed in roots:
                roots.setdefault(unit.key.ref, roots[needed])
    return roots[ref]
