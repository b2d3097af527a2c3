"""The one rule that fences off stale messages."""

import pytest

from changeover.workers.protocol.epoch import Fence, Stamp, fence

KNOWN = Stamp("journal", term=3, epoch=7)


@pytest.mark.parametrize(
    ("journal", "term", "epoch", "judged"),
    [
        ("journal", 3, 7, Fence.PASS),
        ("journal", 3, 8, Fence.PASS),
        ("journal", 4, 7, Fence.NEWER_TERM),
        ("journal", 4, 9, Fence.NEWER_TERM),
        ("journal", 2, 8, Fence.STALE_TERM),
        ("journal", 3, 6, Fence.STALE_EPOCH),
        ("journal", 4, 6, Fence.STALE_EPOCH),
        ("other", 9, 9, Fence.FOREIGN),
    ],
)
def test_a_message_is_judged_by_journal_then_term_then_epoch(
    journal: str, term: int, epoch: int, judged: Fence
) -> None:
    assert fence(KNOWN, Stamp(journal, term, epoch)) is judged
