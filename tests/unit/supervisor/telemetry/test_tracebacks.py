"""How much of a traceback is told."""

import pytest

from changeover.supervisor.telemetry.tracebacks import Tracebacks, told

MIXED = """\
Traceback (most recent call last):
  File "pricing/__init__.py", line 41, in on_load
    self.pool = connect(self.config.dsn)
                ^^^^^^^^^^^^^^^^^^^^^^^^
  File "/usr/lib/python3.11/site-packages/db/pool.py", line 12, in connect
    raise ConnectionError(dsn)
  File "<frozen importlib._bootstrap>", line 3, in _load
ConnectionError: db:5432

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/usr/lib/python3.11/asyncio/runners.py", line 9, in run
    return self._loop.run()
           ^^^^^^^^^^^^^^^^
  File "pricing/__init__.py", line 44, in on_load
    raise RuntimeError("no pool") from error
RuntimeError: no pool"""

OWN = """\
Traceback (most recent call last):
  File "pricing/__init__.py", line 41, in on_load
    self.pool = connect(self.config.dsn)
                ^^^^^^^^^^^^^^^^^^^^^^^^
ConnectionError: db:5432

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "pricing/__init__.py", line 44, in on_load
    raise RuntimeError("no pool") from error
RuntimeError: no pool"""

FOREIGN = """\
Traceback (most recent call last):
  File "/usr/lib/python3.11/site-packages/db/pool.py", line 12, in connect
    raise ConnectionError(dsn)
ConnectionError: db:5432"""

SYNTAX = """\
  File "prices.py", line 3
    PRICE = (
            ^
SyntaxError: '(' was never closed"""

GROUP = """\
  + Exception Group Traceback (most recent call last):
  |   File "prices.py", line 3, in <module>
  |     run()
  |   File "/usr/lib/python3.11/asyncio/taskgroups.py", line 9, in __aexit__
  |     raise errors
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------"""


def test_the_users_own_frames_and_every_error_stay() -> None:
    assert "\n".join(told(MIXED, Tracebacks.OWN)) == OWN


@pytest.mark.parametrize("text", [FOREIGN, SYNTAX, OWN, "killed by signal 9", ""])
def test_what_has_nothing_to_leave_out_or_nothing_else_to_tell_is_told_whole(text: str) -> None:
    assert "\n".join(told(text, Tracebacks.OWN)) == text


def test_in_a_group_the_frames_are_left_out_with_their_lines() -> None:
    short = told(GROUP, Tracebacks.OWN)
    assert not [line for line in short if "asyncio" in line or "raise errors" in line]
    assert len(short) == 5


def test_whoever_wants_all_of_it_gets_all_of_it() -> None:
    assert "\n".join(told(MIXED, Tracebacks.WHOLE)) == MIXED
