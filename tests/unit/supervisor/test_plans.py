"""What workers are told of requests beside serving them, out of the settings."""

import os
from pathlib import Path

import msgspec
import pytest

from changeover.supervisor.config.settings import AccessLog, Deadlines, Hooks, Settings
from changeover.supervisor.config.settings import Preflight as Confined
from changeover.supervisor.core.effects import Preflight
from changeover.supervisor.plans import PREFLIGHT_LATE, policy, rehearsal_order, wire_settings
from changeover.workers.protocol.rehearsal import Confinement
from changeover.workers.protocol.snapshot import ApplicationSpec, Snapshot, UnitKey, UnitKind, UnitRef
from changeover.workers.runtime.settings import WireSettings

FIELDS = ("x-forwarded-for", "x-forwarded-proto")


@pytest.mark.parametrize(
    ("file", "terminal", "told"),
    [
        ("auto", True, "-"),
        ("auto", False, ""),
        ("-", False, "-"),
        ("", True, ""),
        ("/log/access", True, "/log/access"),
    ],
)
def test_requests_are_told_on_a_terminal_unless_somebody_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, file: str, terminal: bool, told: str
) -> None:
    monkeypatch.setattr(os, "isatty", lambda fd: fd == 1 and terminal)
    wire = wire_settings(Settings(access_log=AccessLog(file, "json")))
    assert wire == WireSettings((), FIELDS, told, "json")


def test_whose_word_is_taken_reaches_workers() -> None:
    wire = wire_settings(Settings(forwarded=("10.0.0.0/8",), forwarded_headers=("forwarded",)))
    assert (wire.forwarded, wire.forwarded_headers) == (("10.0.0.0/8",), ("forwarded",))


SWAP = Preflight(Snapshot(8, "new", rolled=1), Snapshot(7, "old", rolled=1), 3)


def test_how_a_candidate_is_rehearsed_comes_out_of_the_settings() -> None:
    settings = Settings(
        preflight=Confined(memory=1 << 28, processes=9, output=10),
        deadlines=Deadlines(preflight=7.0),
        hooks=Hooks(after_fork="shop.server:reseed", deadline=3.0),
    )
    order = rehearsal_order(settings, Path("/store"), SWAP, ())
    assert (order.candidate, order.current, order.store, order.preload) == (
        SWAP.candidate,
        SWAP.current,
        "/store",
        None,
    )
    assert order.settings == Confinement(1 << 28, 9, 10, 7.0, settings.deadlines.hook)
    assert (order.after_fork, order.after_fork_within) == ("shop.server:reseed", 3.0)
    assert policy(settings).preflight
    assert policy(settings).deadlines.preflight == 7.0 + PREFLIGHT_LATE
    assert not policy(Settings(preflight=Confined(enabled=False))).preflight


@pytest.mark.parametrize(
    ("preload", "threads", "imports"), [(True, (), False), (True, ("numpy",), True), (False, (), True)]
)
def test_an_application_that_its_zygote_did_not_preload_is_imported_by_the_rehearsal(
    preload: bool, threads: tuple[str, ...], imports: bool
) -> None:
    key = UnitKey(UnitRef(UnitKind.APPLICATION, "app"), "9c41ab", 1)
    application = ApplicationSpec(key, "shop:app", "/srv/shop", preload=preload)
    candidate = msgspec.structs.replace(SWAP.candidate, units=(application,))
    order = rehearsal_order(Settings(), Path("/store"), Preflight(candidate, None, 3), threads)
    assert (order.preload is not None) is imports
    if order.preload is not None:
        assert (order.preload.target, order.preload.directory, order.preload.store) == (
            "shop:app",
            "/srv/shop",
            "/store",
        )
