"""Counters are found by name, and the number of names is bounded."""

from changeover.workers.protocol.codec import MAX_FRAME, encode
from changeover.workers.protocol.epoch import Stamp
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import Counted
from changeover.workers.serving.counters import MOST_NAMES, OTHERS, Counters


def test_a_name_has_the_same_counters_in_every_generation() -> None:
    counters = Counters()
    before = counters.pipeline("shop").route("/")
    before.hits += 1
    assert counters.pipeline("shop").route("/") is before
    assert counters.requests == 1


def test_names_beyond_the_bound_are_counted_together_and_none_is_lost() -> None:
    counters = Counters(most_names=3)
    for number in range(10):
        counters.pipeline("shop").route(f"/{number}").hits += 1
        counters.note_miss(f"miss {number}")
        counters.note_handshake(f"refused {number}")
    counts = counters.counts()
    assert counts.pipelines["shop"].routes == {"/0": 1, OTHERS: 9}
    assert counts.misses == {"miss 0": 1, OTHERS: 9}
    assert counts.handshakes == {OTHERS: 10}
    assert counters.requests == counts.requests == 20


def test_known_names_are_counted_on_their_own_when_there_is_no_room_for_more() -> None:
    counters = Counters(most_names=1)
    counters.note_miss("empty")
    counters.note_miss("not_found")
    counters.note_miss("empty")
    assert counters.counts().misses == {"empty": 2, OTHERS: 1}


def test_a_report_with_as_many_long_names_as_there_can_be_fits_a_frame_several_times() -> None:
    counters = Counters()
    for number in range(2 * MOST_NAMES):
        counters.pipeline("shop").handler(f"{number} {'x' * 200}").took(10**12)
    message = Counted(Stamp("j" * 32, 1, 1), WorkerId(1, 1, 1), counters.counts())
    assert len(encode(message)) < MAX_FRAME / 4


def test_responses_are_counted_by_the_hundreds_of_their_status() -> None:
    counters = Counters().pipeline("shop")
    for status in (200, 204, 404, 503, 599):
        counters.responses[status // 100] += 1
    assert counters.counts().responses == {"2xx": 2, "4xx": 1, "5xx": 2}
