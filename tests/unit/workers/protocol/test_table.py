import enum

import pytest

from changeover.workers.protocol.table import BugFound, Table


class Light(enum.Enum):
    RED = "red"
    GREEN = "green"


class Cause(enum.Enum):
    GO = "go"
    STOP = "stop"


TABLE: Table[Light, Cause] = Table(
    "light", Light.RED, {Light.RED: {Cause.GO: Light.GREEN}, Light.GREEN: {Cause.STOP: Light.RED}}
)


def test_a_table_says_what_follows() -> None:
    assert TABLE.after(Light.RED, Cause.GO) is Light.GREEN


def test_what_a_table_does_not_list_is_a_bug_that_names_both() -> None:
    with pytest.raises(BugFound, match=r"light.*'stop'.*'red'") as caught:
        TABLE.after(Light.RED, Cause.STOP)
    assert (caught.value.where, caught.value.state, caught.value.cause) == ("light", "red", "stop")


def test_a_table_can_be_asked_before_a_peers_message_is_believed() -> None:
    assert TABLE.lists(Light.RED, Cause.GO)
    assert not TABLE.lists(Light.RED, Cause.STOP)


def test_a_table_can_be_drawn() -> None:
    assert list(TABLE.rows()) == [(Light.RED, Cause.GO, Light.GREEN), (Light.GREEN, Cause.STOP, Light.RED)]
