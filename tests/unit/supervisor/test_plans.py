"""What the supervisor goes by and its processes are told, out of the settings."""

import os
from pathlib import Path

import msgspec
import pytest

from changeover.supervisor.config.rlimits import parse_rlimit
from changeover.supervisor.config.settings import AccessLog, Deadlines, Drain, Hooks, Recycle, Settings
from changeover.supervisor.config.settings import Preflight as Confined
from changeover.supervisor.core.effects import Preflight
from changeover.supervisor.core.policy import Limits, Rhythm
from changeover.supervisor.plans import (
    PREFLIGHT_LATE,
    PRELOAD_LATE,
    policy,
    rehearsal_order,
    wire_settings,
    worker_settings,
    zygote_plan,
)
from changeover.supervisor.process.zygote_process import ZygotePlan
from changeover.supervisor.upgrade.execution import RETURNS, TAKES
from changeover.workers.protocol.belongings import Belongings
from changeover.workers.protocol.rehearsal import Confinement
from changeover.workers.protocol.snapshot import (
    EMPTY,
    ApplicationSpec,
    PluginSpec,
    Snapshot,
    UnitKey,
    UnitKind,
    UnitRef,
)
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


def test_when_workers_are_tired_and_how_long_what_is_waited_for_comes_out_of_the_settings() -> None:
    deadlines = Deadlines(
        preload=10, prepare=11, boot=12, graceful=13, rescue=14, heartbeat=15, silence=16, hung=17, request=18
    )
    drain = Drain(http=1, stream=2, websocket=30, task=4)
    workers = worker_settings(Settings(deadlines=deadlines), Path("/run"), Path("/store"), Belongings()).deadlines
    assert (workers.graceful, workers.heartbeat, workers.silence, workers.request) == (13, 15, 16, 18)
    told = policy(Settings(recycle=Recycle(1, 2, 3.0, 4.0, 5, 6), deadlines=deadlines, drain=drain))
    assert told.limits == Limits(1, 2, 3.0, 4.0, 5, 6, 18)
    assert told.rhythm == Rhythm(heartbeat=15, silence=16, hung=17)
    waits = told.deadlines
    assert (waits.prepare, waits.boot, waits.graceful, waits.rescue, waits.handover) == (11, 12, 13, 14, 13 + 30)
    assert waits.zygote == 10 + PRELOAD_LATE
    assert waits.takeover == TAKES + RETURNS


def test_a_worker_that_leaves_is_given_the_time_of_requests_twice() -> None:
    told = policy(Settings(deadlines=Deadlines(graceful=13), drain=Drain(http=20, stream=2, websocket=30, task=4)))
    assert told.deadlines.handover == 13 + 40


def test_what_a_zygote_and_its_workers_may_comes_out_of_the_settings() -> None:
    limited = Settings(
        deadlines=Deadlines(orphan=5, preload=300), umask="027", rlimits=("nofile=64",), no_new_privs=False
    )
    told = zygote(limited)
    assert (told.orphan, told.ready, told.umask, told.no_new_privs, told.writable) == (5, 300, 0o027, False, None)
    assert told.rlimits == (parse_rlimit("nofile=64"),)
    confined = zygote(Settings(landlock=True, writable=("/srv/shop/data",)))
    assert (confined.writable, confined.no_new_privs, confined.orphan) == (("/run/shop", "/srv/shop/data"), True, 900)


def zygote(settings: Settings) -> ZygotePlan:
    return zygote_plan(settings, 1, 1, None, Path("/store"), "/run/shop", Belongings(), "journal", {})


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


def test_a_roll_is_rehearsed_without_its_application_and_nobody_rehearses_what_is_exempt() -> None:
    geo, log = (UnitRef(UnitKind.PLUGIN, each) for each in ("geo", "log"))
    candidate, current = (
        msgspec.structs.replace(each, units=(PluginSpec(UnitKey(ref, "1f", 7), "1.0", "1f"),))
        for each, ref in ((SWAP.candidate, geo), (SWAP.current or EMPTY, log))
    )
    effect = Preflight(candidate, current, 3, exempt=("geo", "log", "of yesterday"), goes_back=True)
    order = rehearsal_order(Settings(), Path("/store"), effect, ())
    assert (order.exempt, order.vacant, order.goes_back) == ((geo, log), False, True)
    rolled = Preflight(msgspec.structs.replace(candidate, rolled=8), EMPTY, 3, served=(geo,), other_resources=(log,))
    order = rehearsal_order(Settings(), Path("/store"), rolled, ())
    assert (order.exempt, order.vacant, order.goes_back, order.served) == ((), True, False, (geo,))
    assert order.other_resources == (log,)


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
