from changeover.supervisor.cli.progress import Progress
from changeover.supervisor.core.outcome import Strategy
from changeover.supervisor.core.records.cutover import (
    CommitDecided,
    CutoverBegan,
    PhaseBegan,
    WorkerActivated,
    WorkerPrepared,
)
from changeover.supervisor.core.records.part import PartBegan, PartServes, PartsReverting
from changeover.supervisor.telemetry.teller import Teller
from changeover.workers.protocol.identity import WorkerId
from tests.fake_control import DEPLOY, SUMMARY


def test_a_roll_in_parts_is_followed_part_by_part_and_on_its_way_back() -> None:
    teller, progress = Teller(), Progress("shop")
    worker = (WorkerId(2, 3, 4), 4127)
    for record in (
        CutoverBegan(8, DEPLOY, SUMMARY, 7, 1, Strategy.ROLL),
        PartBegan(8, 1, 3, 1),
        PhaseBegan(8, "preparing"),
        WorkerPrepared(*worker, 8, 0.2),
        CommitDecided(8, 7),
        WorkerActivated(*worker, 8, 1),
        PartServes(8, 1, 3, 1, 7, (3,)),
        PartsReverting(8, "part 1 of 3", 7, "slot 0: does not import"),
    ):
        teller.tell(record)
    lines = [line for told in teller.stream.since(0) for line in progress.take(told)]
    assert lines[0].startswith("shop  epoch 7 -> 8  roll to 1 worker ")
    assert lines[1] == "  part       1 of 3"
    assert lines[2].startswith("  prepare    1/1  ")
    assert lines[3].startswith("  commit     1/1  ")
    assert lines[3].endswith("   slots 3")
    assert lines[4] == "  reverting  slot 0: does not import"
