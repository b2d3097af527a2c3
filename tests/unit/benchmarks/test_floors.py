"""Floors answer as peers do, and are compared with them, but are none."""

import sys
from pathlib import Path

import pytest
from benchmarks import entrants
from benchmarks.contents import SPEED
from benchmarks.contest import Contest, Round, Standing
from benchmarks.servers import Command, served
from benchmarks.throughput import reach, verdicts
from benchmarks.visitors import ask

OURS, PEER, OTHER, FLOOR = (Command(name, ()) for name in ("ours", "peer", "other", "floor"))
CONTEST = Contest("hello", (OURS, PEER, OTHER), lambda address, seconds: 1, {"peer": 2.0}, floors=(FLOOR,))


def standing(name: str, *rates: float) -> Standing:
    return Standing(name, tuple(Round(rate, 1e6 / rate) for rate in rates))


FLOORS = (entrants.BARE, entrants.CYCLE, entrants.LEASED, entrants.PIPELINE, entrants.HOP)


@pytest.mark.parametrize("floor", FLOORS, ids=["bare", "cycle", "leased", "pipeline", "hop"])
def test_a_floor_answers_what_the_application_would(floor: Command) -> None:
    with served(Path(sys.executable).parent, floor, 1, SPEED) as server:
        answer = ask(server.address, "/")
    assert (answer.status, answer.body) == (200, b"Hello, world!")


def test_floors_are_asked_behind_the_entrants_and_judged_by_nobody() -> None:
    standings = [standing("ours", 30), standing("peer", 10), standing("other", 50), standing("floor", 60)]
    assert CONTEST.asked == (OURS, PEER, OTHER, FLOOR)
    assert [(verdict.claim, verdict.holds) for verdict in verdicts(CONTEST, standings)] == [
        ("hello: requests per second to those of peer", True)
    ]


def test_what_a_floor_is_to_a_peer_is_the_median_over_rounds() -> None:
    peer, floor = standing("peer", 10, 20, 40), standing("floor", 30, 50, 60)
    assert reach(CONTEST, [standing("ours", 1, 1, 1), peer, standing("other"), floor]) == [
        "hello: floor: requests per second to those of peer: 2.50 (2.50 by processor time)"
    ]


def test_a_floor_is_not_compared_with_a_peer_that_does_not_serve() -> None:
    standings = [standing("ours", 1), standing("peer"), standing("other"), standing("floor", 30)]
    assert reach(CONTEST, standings) == ["hello: floor: requests per second to those of peer: nothing to compare"]
