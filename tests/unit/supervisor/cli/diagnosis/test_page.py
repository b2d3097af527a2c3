import click

from changeover.supervisor.cli.diagnosis.judgement import Check, Verdict, judge
from changeover.supervisor.cli.diagnosis.measurements import Answered, Change, Measured
from changeover.supervisor.cli.diagnosis.page import Report, page
from tests.unit.supervisor.cli.diagnosis.test_judgement import ALONE, PLAN, amounts, look

LOOKS = (look(), look(500, amounts(descriptors=41)), look(1000, amounts(descriptors=42)))
MADE = tuple(Change(0.1) for _ in range(20))
MEASURED = Measured(PLAN, 1.0, 200, ALONE, MADE, Answered(1000), LOOKS, MADE, Answered(1000), LOOKS)


def lines(report: Report) -> list[str]:
    return [click.unstyle(line) for line in page(report)]


def test_answers_come_first_and_then_what_they_rest_on() -> None:
    told = lines(Report.of(judge(MEASURED), MEASURED))
    assert told[0].startswith("ok       fork-safe            the import of 4 modules leaves nothing")
    amount = [" ".join(line.split()) for line in told]
    assert "before swaps at half after 20 swaps" in amount
    assert "after the first at half after 20 rolls" in amount
    for line in (
        "workers memory (rss) 100.0 M 100.0 M 100.0 M",
        "workers memory (pss) 50.0 M 50.0 M 50.0 M",
        "workers threads 8 8 8",
        "workers tasks 6 6 6",
        "workers descriptors 40 41 42",
        "supervisor descriptors 40 40 40",
        "zygote threads 8 8 8",
    ):
        assert line in amount
    assert told[-1] == "nothing was found against shop:app"


def test_a_finding_has_who_and_what_to_do_below_it() -> None:
    check = Check(
        "fork-safe", Verdict.FOUND, "the import leaves: thread", ("metrics starts a thread",), "start it later"
    )
    told = lines(Report.of((check, Check("rolls", Verdict.UNKNOWN, "not tried")), MEASURED))
    assert told[:4] == [
        "FOUND    fork-safe  the import leaves: thread",
        "         metrics starts a thread",
        "         next: start it later",
        "unknown  rolls      not tried",
    ]
    assert told[-1] == "shop:app: 1 of 2 questions have a finding"
