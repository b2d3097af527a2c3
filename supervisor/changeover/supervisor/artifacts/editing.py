"""Editing a pipeline that serves: a candidate out of what serves, and what becomes of it when files are taken again.

What the files said of a pipeline when it was edited is kept with it (`PipelineSpec.written`). For as long as they say
the same, the edit stays; once they say something else they are followed, and the edit is dropped.
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from changeover.supervisor.artifacts import candidate
from changeover.supervisor.artifacts.content import Content, carried
from changeover.supervisor.artifacts.layout import Layout, Plan, contradictions, declared_of, plans_of
from changeover.supervisor.artifacts.placement import Misplaced, edited
from changeover.supervisor.artifacts.problems import Problem, refusals
from changeover.supervisor.config.handlers import mistakes, ref_of
from changeover.supervisor.core.edits import Add, PipelineEdit, Remove, Written
from changeover.supervisor.core.holding import pipeline_content
from changeover.supervisor.core.outcome import ScanRefused
from changeover.workers.protocol.document import nearest
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot, UnitKind, UnitRef


def edit(wanted: PipelineEdit, label: str, epoch: int, current: Snapshot, store: Path) -> Snapshot | ScanRefused:
    """Make what serves, with one pipeline edited, the candidate `epoch`.

    Args:
        wanted: The edit.
        label: The operator's words for it.
        epoch: The number of the candidate.
        current: What is served.
        store: Where its plugins are.

    Raises:
        ManifestInvalid: A stored artifact is damaged.
        OSError: A stored artifact cannot be read.
    """
    contents = {unit.key.ref.name: carried(unit, store) for unit in current.units if isinstance(unit, PluginSpec)}
    plans = {plan.name: plan for plan in plans_of(current)}
    plan = plans.get(wanted.pipeline)
    if plan is None:
        unknown = f"there is no pipeline {wanted.pipeline}{nearest(wanted.pipeline, plans)}"
        return ScanRefused(refusals([Problem(f"{unknown}; there are: {', '.join(sorted(plans)) or 'none'}")]))
    digest = next(unit.key.digest for unit in current.units if unit.key.ref == UnitRef(UnitKind.PIPELINE, plan.name))
    if wanted.if_digest not in ("", digest):
        changed = f"pipeline {plan.name} is not what was to be edited any more: look at it, then ask again"
        return ScanRefused(refusals([Problem(changed)]))
    made = _edited(plan, wanted, contents)
    if not isinstance(made, Plan):
        return ScanRefused(refusals([made]))
    plans[plan.name] = made
    if problems := list(contradictions(plans.values(), contents, current.application is not None)):
        return ScanRefused(refusals(problems))
    units = candidate.assemble(contents, current.application, plans.values(), epoch, current.channels)
    executes, listen = current.interpreter, current.listen
    return candidate.snapshot(units, current.routes, epoch, current, label, interpreter=executes, listen=listen)


def _edited(plan: Plan, wanted: PipelineEdit, contents: Mapping[str, Content]) -> Plan | Problem:
    handlers, where = plan.handlers, f"pipeline {plan.name}"
    for number, step in enumerate(wanted.steps):
        at = f"$.edits[{number}]"
        put = None if isinstance(step, Remove) else step.handler if isinstance(step, Add) else step.by
        if put is not None and (wrong := _mistake(put)) is not None:
            return Problem(wrong, where, f"{at}.{'handler' if isinstance(step, Add) else 'by'}")
        concerned = handlers if put is None else (*handlers, ref_of(put))
        try:
            handlers = edited(handlers, step, declared_of(concerned, contents))
        except Misplaced as misplaced:
            return Problem(misplaced.reason, where, f"{at}.{misplaced.field}")
    before = plan.written or _content(plan)
    made = msgspec.structs.replace(plan, handlers=handlers, file=f"{where} as edited", path="$")
    return msgspec.structs.replace(made, written="" if _content(made) == before else before)


def _mistake(written: Written) -> str | None:
    """What is wrong with a handler as it is written; None when nothing is."""
    for mistake in mistakes("", (written,)):
        key = mistake.path.removeprefix("[0]").removeprefix(".")
        return f"{key}: {mistake.message}" if key else mistake.message
    return None


def with_edits(layout: Layout, current: Snapshot | None) -> Layout:
    """Leave every pipeline as it was edited whose files say what they said then.

    Args:
        layout: What is wanted.
        current: What is served; None when nothing is.
    """
    there = {name: _told_as_edited(plan) for name, plan in _edits(current).items()}
    plans = (
        there[plan.name] if plan.name in there and there[plan.name].written == _content(plan) else plan
        for plan in layout.plans
    )
    return msgspec.structs.replace(layout, plans=tuple(plans))


def _told_as_edited(plan: Plan) -> Plan:
    """No file has what may be wrong with it by now, so that only another edit mends it."""
    where = f"pipeline {plan.name} as it was edited (`changeover handler remove` or `replace` edits it again)"
    return msgspec.structs.replace(plan, file=where, path="$")


def kept_and_dropped(layout: Layout, current: Snapshot | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Say which edits of what is served are still there, and which are not, for people."""
    left = {plan.name for plan in layout.plans if plan.written}
    kept = tuple(f"kept: pipeline {name} as it was edited, not as its file says" for name in sorted(left))
    gone = sorted(_edits(current).keys() - left)
    return kept, tuple(f"dropped: the edit of pipeline {name}, whose file says something else now" for name in gone)


def _edits(current: Snapshot | None) -> dict[str, Plan]:
    return {plan.name: plan for plan in plans_of(current) if plan.written} if current else {}


def _content(plan: Plan) -> str:
    return pipeline_content(plan.handlers, plan.target, plan.routes)
