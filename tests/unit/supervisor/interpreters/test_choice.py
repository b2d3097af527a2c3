"""Which interpreter a request takes."""

import os

import pytest

from changeover.supervisor.core.entries import Origin, Trigger
from changeover.supervisor.core.outcome import CutoverRequest
from changeover.supervisor.interpreters.answer import InterpreterUnfit
from changeover.supervisor.interpreters.choice import standing_interpreter, wanted
from changeover.workers.protocol.snapshot import OWN, Interpreter

NEW, OLD = "/new/python", "/old/python"
KEPT = Interpreter(NEW, "3.12.1", configured=OLD)


def asking(python: str = "", *, force: bool = False) -> CutoverRequest:
    return CutoverRequest(Origin(Trigger.COMMAND, uid=os.geteuid()), python=python, force=force)


def test_what_is_asked_for_is_taken_whatever_serves_and_is_configured() -> None:
    assert wanted(asking(NEW), OLD, Interpreter(OLD, "3.12.1", OLD)) == NEW


def test_a_path_that_depends_on_where_somebody_was_is_refused() -> None:
    with pytest.raises(InterpreterUnfit, match="python venv/bin/python is no absolute path"):
        wanted(asking("venv/bin/python"), OLD, None)


@pytest.mark.parametrize("uid", [os.geteuid() + 1, -1], ids=["another user", "nobody knows"])
def test_who_may_only_reload_may_not_name_what_is_executed(uid: int) -> None:
    request = CutoverRequest(Origin(Trigger.API, uid=uid), python=NEW)
    with pytest.raises(InterpreterUnfit, match=f"was asked for by uid {uid}, and may be named by root"):
        wanted(request, OLD, None)


@pytest.mark.parametrize("serving", [None, OWN, Interpreter(OLD, "3.12.1", OLD)], ids=["nothing", "unknown", "it"])
def test_what_is_configured_is_taken_where_nobody_asked_for_another(serving: Interpreter | None) -> None:
    assert wanted(asking(), OLD, serving) == OLD


def test_another_one_holds_until_the_configuration_names_a_different_one_or_somebody_insists() -> None:
    assert wanted(asking(), OLD, KEPT) == NEW
    assert wanted(asking(), "/third/python", KEPT) == "/third/python"
    assert wanted(asking(force=True), OLD, KEPT) == OLD
    assert wanted(asking(NEW, force=True), OLD, KEPT) == NEW


def test_one_that_the_configuration_does_not_name_is_said_to_hold() -> None:
    [line] = standing_interpreter(KEPT)
    assert line.startswith(f"not taken: python {OLD} ({NEW} ")
    assert list(standing_interpreter(Interpreter(OLD, "3.12.1", OLD))) == []


def test_only_a_known_difference_takes_other_processes() -> None:
    assert KEPT.is_other(Interpreter(OLD, "3.12.1", OLD))
    assert KEPT.is_other(Interpreter(NEW, "3.12.0", OLD))
    assert not KEPT.is_other(Interpreter(NEW, "3.12.1", NEW))
    assert not KEPT.is_other(OWN)
    assert not OWN.is_other(KEPT)
