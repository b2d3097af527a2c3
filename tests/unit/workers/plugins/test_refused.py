"""A refusal says whose fault it is and where, and keeps nothing alive."""

import asyncio
import errno
import gc
import importlib
import socket
import weakref
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from changeover.workers.plugins.link import _checked
from changeover.workers.plugins.refused import MAX_TRACEBACK, ConfigRejected, ContractBroken, Origin, Site, refusal_of
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.runtime.preload import ThreadWatch
from changeover.workers.serving.handlers import HandlerKind
from changeover.workers.serving.lifespan import LifespanFailed, LifespanPhase

HERE = Path(__file__)
SITE = Site(Stage.INITIALISE, "plugin pricing", "on_load", Origin(HERE.parent, "changeover_plugins.pricing.ab_1"))


def caught(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as raised:  # noqa: BLE001 - the point
        return raised


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (ConfigRejected("pricing", "x"), Fault.CONFIG),
        (ContractBroken("x"), Fault.CONTRACT),
        (ImportError("x"), Fault.CONTRACT),
        (SyntaxError("x"), Fault.CONTRACT),
        (PermissionError(errno.EACCES, "x"), Fault.CAPABILITY),
        (TimeoutError("x"), Fault.TIMEOUT),
        (ConnectionRefusedError("x"), Fault.RESOURCE),
        (socket.gaierror("x"), Fault.RESOURCE),
        (MemoryError("x"), Fault.RESOURCE),
        (OSError(errno.ENOSPC, "x"), Fault.RESOURCE),
        (FileNotFoundError(errno.ENOENT, "x"), Fault.CRASH),
        (KeyError("x"), Fault.CRASH),
        (SystemExit(3), Fault.CRASH),
        (asyncio.CancelledError(), Fault.CRASH),
        (ExceptionGroup("x", [KeyError("y")]), Fault.CRASH),
    ],
)
def test_each_error_is_somebodys_fault(error: BaseException, fault: Fault) -> None:
    assert refusal_of(caught(error), SITE).fault is fault


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (KeyError("x"), Fault.INTERNAL),
        (AssertionError("bug: x"), Fault.INTERNAL),
        (ContractBroken("x"), Fault.CONTRACT),
        (TimeoutError("x"), Fault.TIMEOUT),
        (SystemExit(3), Fault.CRASH),
    ],
)
def test_what_fails_where_no_code_of_users_runs_is_our_own_fault(error: BaseException, fault: Fault) -> None:
    refusal = refusal_of(caught(error), Site(Stage.PREPARE, "pipeline shop"))
    assert refusal.fault is fault
    assert not Fault.INTERNAL.transient


def test_a_lifespan_that_failed_is_judged_by_what_it_raised_and_summed_up_in_a_line() -> None:
    failed = LifespanFailed("app", LifespanPhase.STARTUP, "Traceback ...\n  File x\nTimeoutError: no answer\n")
    refusal = refusal_of(caught(failed, cause=TimeoutError("no answer")), SITE)
    assert (refusal.fault, refusal.summary) == (Fault.TIMEOUT, "lifespan startup failed: TimeoutError: no answer")


def test_the_place_is_the_innermost_one_in_the_plugins_own_files_also_behind_a_cause() -> None:
    def own() -> None:
        raise KeyError("inner")  # the place

    def theirs() -> None:
        try:
            own()
        except KeyError as error:
            raise ValueError("outer") from error

    code = compile("def call(f): f()", "/elsewhere/library.py", "exec")
    library: dict[str, object] = {}
    exec(code, library)
    with pytest.raises(ValueError, match="outer") as raised:
        library["call"](theirs)  # type: ignore[operator]
    refusal = refusal_of(raised.value, SITE)
    assert refusal.where.startswith("test_refused.py:")
    assert refusal.source == 'raise ValueError("outer") from error'
    assert "KeyError: 'inner'" in refusal.traceback
    assert 'File "/elsewhere/library.py", line 1, in call' in refusal.traceback
    assert str(HERE) not in refusal.traceback


def test_what_is_installed_beside_an_application_and_what_we_do_for_it_is_not_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "venv" / "site-packages"
    monkeypatch.setattr("changeover.workers.plugins.refused._INSTALLED", (f"{installed}/",))
    namespace: dict[str, Callable[[], object]] = {}
    exec(compile("def check(): raise ValueError('x')", f"{installed}/library.py", "exec"), namespace)
    exec(compile("def build(): check()", f"{tmp_path}/shop.py", "exec"), namespace)
    with pytest.raises(ValueError, match="x") as raised:
        namespace["build"]()
    refusal = refusal_of(raised.value, Site(Stage.LOAD, "application shop:app", origin=Origin(tmp_path)))
    assert refusal.where == "shop.py:1"
    assert "library.py" in refusal.traceback


def test_the_place_of_an_import_that_fails_is_the_statement_also_where_we_are_installed_below_the_application() -> None:
    site = Site(Stage.LOAD, "application shop:app", origin=Origin(HERE.parents[4]))
    with pytest.raises(ModuleNotFoundError) as raised, ThreadWatch().watching():
        importlib.import_module("nothing_like_it")
    told = refusal_of(raised.value, site)
    assert told.where.startswith("tests/unit/workers/plugins/test_refused.py:")
    assert told.source == 'importlib.import_module("nothing_like_it")'
    assert "importlib/__init__.py" not in told.traceback
    with pytest.raises(ModuleNotFoundError) as raised, ThreadWatch().watching():
        import nothing_like_it  # type: ignore[import-not-found]  # noqa: F401
    assert refusal_of(raised.value, site).source.startswith("import nothing_like_it")


def test_private_names_and_our_own_frames_are_left_out() -> None:
    with pytest.raises(ContractBroken) as raised:
        _checked(HandlerKind.INBOUND, 3, "handler 'changeover_plugins.pricing.ab_1.pricing'")
    refusal = refusal_of(raised.value, SITE)
    assert refusal.summary.startswith("handler 'pricing': ")
    assert "link.py" not in refusal.traceback


def test_an_endless_traceback_is_cut_and_its_end_kept() -> None:
    refusal = refusal_of(caught(ValueError("x" * (2 * MAX_TRACEBACK) + "the end")), SITE)
    assert len(refusal.traceback) == MAX_TRACEBACK
    assert refusal.traceback.endswith("the end\n")


def test_an_error_whose_text_raises_is_told_all_the_same() -> None:
    class Nasty(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    assert "str() failed" in refusal_of(caught(Nasty()), SITE).summary


def test_a_refusal_holds_neither_error_nor_frames() -> None:
    class Big:
        pass

    def fail() -> None:
        big = Big()
        seen.append(weakref.ref(big))
        raise ValueError(str(big))

    seen: list[weakref.ref[Big]] = []
    with pytest.raises(ValueError, match="Big"):
        fail()
    seen.clear()
    refusals = []
    try:
        fail()
    except ValueError as error:
        refusals.append(refusal_of(error, SITE))
    gc.collect()
    assert refusals[0].fault is Fault.CRASH
    assert seen[0]() is None


def test_words_that_utf_8_cannot_carry_travel_escaped() -> None:
    refusal = refusal_of(caught(ValueError("bad \udc80 words")), SITE)
    assert refusal.summary == "ValueError: bad \\udc80 words"
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(refusal), type=Refusal) == refusal
