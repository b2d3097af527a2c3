"""A comparison that could not be made is no success."""

from collections.abc import Callable

import pytest
from benchmarks import cohort_memory, environment, first_served, peers, replacement, throughput
from benchmarks.environment import NOTHING_COMPARED, PeersMissing

COMMANDS = [throughput.main, peers.main, first_served.main, cohort_memory.main, replacement.main]


@pytest.mark.parametrize("command", COMMANDS, ids=[command.__module__ for command in COMMANDS])
def test_a_command_without_its_peers_ends_with_a_status_of_its_own_and_says_why(
    command: Callable[[list[str]], int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def missing() -> None:
        raise PeersMissing("pip install ended with status 1: no route to host")

    monkeypatch.setattr(environment, "binaries", missing)
    with pytest.raises(SystemExit) as ended:
        command(["--quick"])
    assert ended.value.code == NOTHING_COMPARED != 0
    said = "nothing was compared: the other servers cannot be installed here: pip install ended with status 1"
    assert said in capsys.readouterr().err
