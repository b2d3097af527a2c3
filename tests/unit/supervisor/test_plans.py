"""What workers are told of requests beside serving them, out of the settings."""

import os

import pytest

from changeover.supervisor.config.settings import AccessLog, Settings
from changeover.supervisor.plans import wire_settings
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
