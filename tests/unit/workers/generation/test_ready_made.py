"""Ready-made handlers in pipelines: one instance while its pipeline and settings live, whatever is swapped beside."""

import gc
from typing import Any

import pytest

from changeover.supervisor.config.handlers import ref_of
from changeover.workers.generation.ready_made import MAKERS, ReadyMadeHandlers
from changeover.workers.handlers.catalogue import CATALOGUE, NotReadyMade
from changeover.workers.handlers.settings import HandlerSettings
from changeover.workers.protocol.snapshot import HandlerRef
from changeover.workers.serving.handlers import Handler

LIMIT = ref_of({"use": "rate-limit", "limit": 5})
LEAST: dict[str, dict[str, Any]] = {
    "cors": {"origins": ["*"]},
    "rate-limit": {"limit": 1},
    "body-limit": {"limit": 1},
    "concurrency-limit": {"limit": 1},
}
"""What cannot be left out."""


def instance(parts: tuple[Handler, ...]) -> object:
    [owner] = {part.call.__self__ for part in parts}  # type: ignore[attr-defined]
    return owner


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_handler_is_what_the_catalogue_says(name: str) -> None:
    parts = ReadyMadeHandlers().parts("shop", ref_of({"use": name, **LEAST.get(name, {})}))
    assert {part.kind.value for part in parts} == {direction.value for direction in CATALOGUE[name].directions}
    assert {part.name for part in parts} == {name}
    assert {part.phase for part in parts} == {CATALOGUE[name].phase.value}


def test_the_catalogue_and_what_makes_handlers_are_in_step() -> None:
    assert CATALOGUE.keys() == MAKERS.keys()
    assert all(issubclass(each.settings, HandlerSettings) for each in CATALOGUE.values())
    assert {name for each in CATALOGUE.values() for name in each.after} <= CATALOGUE.keys()


def test_the_same_settings_in_the_same_pipeline_are_the_same_instance() -> None:
    ready_made = ReadyMadeHandlers()
    kept = ready_made.parts("shop", LIMIT)
    assert instance(ready_made.parts("shop", ref_of({"limit": 5, "use": "rate-limit"}))) is instance(kept)
    assert instance(ready_made.parts("shop", ref_of({"use": "rate-limit", "limit": 6}))) is not instance(kept)
    assert instance(ready_made.parts("other", LIMIT)) is not instance(kept)


def test_an_instance_ends_with_the_last_generation_that_has_it() -> None:
    ready_made = ReadyMadeHandlers()
    parts = ready_made.parts("shop", LIMIT)
    assert len(ready_made) == 1
    del parts
    gc.collect()
    assert len(ready_made) == 0


@pytest.mark.parametrize(
    ("ref", "why"),
    [
        (HandlerRef("", "teleport"), "ready-made handler teleport: this program has none of that name"),
        (HandlerRef("", "rate-limit"), "ready-made handler rate-limit: $.limit: missing"),
        (HandlerRef("", "timeout", b'{"before":1}'), r"ready-made handler timeout: $.before: unknown key"),
    ],
)
def test_what_this_program_does_not_know_is_refused_by_name(ref: HandlerRef, why: str) -> None:
    with pytest.raises(NotReadyMade) as refused:
        ReadyMadeHandlers().parts("shop", ref)
    assert str(refused.value).startswith(why)
