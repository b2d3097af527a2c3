"""An authorization service whose facts, rules and policies are changed while it decides."""

import asyncio
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from changeover.server import Milestone, Refused, Strategy
from changeover.testing import SimulatedWorker, SwapRefused
from tests.asking import asking
from tests.authz import (
    BEN_PROJECTS,
    BEN_SHOWS,
    EXAMPLE,
    SHOW,
    VOTE,
    Decision,
    House,
    by_worker,
    decided,
    path,
    posted,
    reloaded,
    replaying,
    wrote,
)
from tests.service import Connection

WORKERS = 3
FIRST = 'resource in Archive::"house"\n);\n\n@id("projection'
"""The end of the first policy."""


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def decisions(told: list[str]) -> list[Decision]:
    return [msgspec.json.decode(each, type=Decision) for each in told]


async def test_rules_and_policies_changed_together_become_visible_together(house: House) -> None:
    """A decision by rules of one version under policies of another would be a denial."""
    async with house.server(WORKERS) as server:
        pids = [slot.pid for slot in (await server.status()).slots]
        async with asking(server.addresses[0], lambda number: path((VOTE, SHOW)[number % 2]), 8) as asked:
            for version in range(2, 10):
                house.write(version)
                assert await reloaded(server) == version
                await asked.some()
        assert asked.failed == []
        votes = [each for told in asked.answers[::2] for each in decisions(told)]
        assert [each for each in votes if not each.allowed or each.because != [f"v{each.epoch}"]] == []
        assert {each.epoch for each in votes} == set(range(1, 10))
        for told in asked.answers:
            epochs = [each.epoch for each in decisions(told)]
            assert epochs == sorted(epochs)
        shown = {(each.allowed, *each.because) for told in asked.answers[1::2] for each in decisions(told)}
        assert shown == {(True, "projection-shows")}
        assert [slot.pid for slot in (await server.status()).slots] == pids


async def test_an_invalid_policy_is_refused_with_its_place_and_the_one_before_goes_on(house: House) -> None:
    async with house.server(WORKERS) as server:
        async with asking(server.addresses[0], path(VOTE), 6) as asked:
            house.edit("policies/house.cedar", FIRST, FIRST.replace(' Archive::"house"', ""))
            house.write_rules(2)
            match await server.reload():
                case Refused(serving=1, refusals=refusals):
                    told = refusals[0].refusal
                    assert (told.unit, told.hook) == ("plugin authz", "on_resources")
                    assert "PolicyInvalid: policies/house.cedar:3: no Cedar policy: unexpected token" in told.summary
                case other:
                    pytest.fail(repr(other))
            await asked.some()
            house.edit("policies/house.cedar", "resource in\n", 'resource in Archive::"house"\n')
            house.write_policies(2)
            assert await reloaded(server) == 3
            await asked.some()
        assert asked.failed == []
        assert {(each.epoch, *each.because) for each in decisions(asked.told)} == {(1, "v1"), (3, "v2")}


@pytest.mark.parametrize("part", ["facts", "rules", "policies"])
async def test_one_part_is_changed_and_the_others_are_the_same_objects(house: House, part: str) -> None:
    files = {
        "facts": ("facts/house.lp", "% What is known", 'member("User::eve", "Group::bar").\n% What is known'),
        "rules": ("rules/house.lp", "% What follows", 'attribute(Who, "member", 1) :- member(Who, _).\n% What follows'),
        "policies": ("policies/house.cedar", "archivists", "librarians"),
    }
    async with house.server(WORKERS) as server:
        version = await wrote(server, add=[BEN_PROJECTS])
        before = await by_worker(server, WORKERS)
        house.edit(*files[part])
        assert await reloaded(server) == 2
        after = await by_worker(server, WORKERS)
        for slot, about in after.items():
            changed = {name for name, number in about.parts.items() if number != before[slot].parts[name]}
            assert changed == {part}
            assert (about.epoch, about.facts) == (2, version)
        assert (await decided(server, BEN_SHOWS)).allowed


async def test_what_the_old_engine_decides_late_does_not_enter_the_new_cache(house: House) -> None:
    """A list of questions whose body ends after the commit is answered by the epoch on which it began."""
    async with house.server(1) as server:
        slow, quick = [await Connection.open(server.addresses[0]) for _ in range(2)]
        assert msgspec.json.decode((await quick.get(path(VOTE))).body, type=Decision).because == ["v1"]
        words = dict(pair.split("=") for pair in VOTE.split("&"))
        body = msgspec.json.encode([words, words])
        head = f"POST /decide HTTP/1.1\r\nhost: authz\r\ncontent-length: {len(body)}\r\n\r\n"
        await slow.send(head.encode() + body[:10])
        async with asyncio.timeout(10):
            while not any(lease.path == "/decide" for slot in (await server.leases()).slots for lease in slot.leases):
                await asyncio.sleep(0.005)
        house.write(2)
        assert await reloaded(server) == 2
        assert (await by_worker(server, 1))[0].answers == 0
        first = (await quick.get(path(VOTE))).body
        await slow.send(body[10:])
        late = msgspec.json.decode((await slow.answer()).body, type=list[Decision])
        assert {(each.allowed, *each.because, each.epoch) for each in late} == {(True, "v1", 1)}
        assert (await quick.get(path(VOTE))).body == first
        assert msgspec.json.decode(first, type=Decision).because == ["v2"]
        assert (await by_worker(server, 1))[0].answers == 1
        slow.close()
        quick.close()


async def test_a_fact_is_known_in_every_worker_once_its_writer_was_told(house: House) -> None:
    """Also while rules and policies change: of two answers, the later one never knows less."""
    async with house.server(WORKERS) as server:
        connections = [await Connection.open(server.addresses[0]) for _ in range(4 * WORKERS)]

        async def everywhere() -> set[tuple[bool, int]]:
            answers = [await connection.get(path(BEN_SHOWS)) for connection in connections]
            told = decisions([answer.body for answer in answers])
            return {(each.allowed, each.facts) for each in told}

        async with asking(server.addresses[0], path(VOTE), 6) as asked:
            for version in range(2, 8):
                house.write(version)
                reloading = asyncio.create_task(server.reload())
                known = await wrote(server, add=[BEN_PROJECTS])
                assert await everywhere() == {(True, known)}
                known = await wrote(server, remove=[BEN_PROJECTS])
                assert await everywhere() == {(False, known)}
                await reloading
            await asked.some()
        assert asked.failed == []
        for told in asked.answers:
            versions = [each.facts for each in decisions(told)]
            assert versions == sorted(versions)
        assert {(each.allowed, *each.because) == (True, f"v{each.epoch}") for each in decisions(asked.told)} == {True}
        for connection in connections:
            connection.close()


async def test_facts_that_many_write_at_once_are_all_kept(house: House) -> None:
    async with house.server(WORKERS) as server:
        names = [f'member("User::{number}","Group::bar")' for number in range(40)]
        versions = await asyncio.gather(*(wrote(server, add=[name]) for name in names))
        assert len(set(versions)) == len(names)
        connection = await Connection.open(server.addresses[0])
        known = msgspec.json.decode((await connection.get("/facts")).body)
        connection.close()
        assert known["version"] == max(versions)
        assert set(names) < set(known["facts"])


async def test_what_was_written_survives_swaps_rolls_and_restarts(house: House) -> None:
    async with house.server(2) as server:
        known = await wrote(server, add=[BEN_PROJECTS])
        house.edit("plugin.toml", "1.0.0", "1.0.1")
        assert await reloaded(server, Milestone.RETIRED) == 2
        assert (await decided(server, BEN_SHOWS)).facts == known
        await server.reload(strategy=Strategy.ROLL, until=Milestone.RETIRED, force=True)
        again = await decided(server, BEN_SHOWS)
        assert (again.allowed, again.epoch, again.facts) == (True, 3, known)
    async with house.server(2) as server:
        again = await decided(server, BEN_SHOWS)
        assert (again.allowed, again.facts) == (True, known)


async def test_every_decision_comes_out_the_same_by_what_is_kept_of_its_epoch(house: House) -> None:
    replay = replaying()
    async with house.server(WORKERS) as server:
        async with asking(server.addresses[0], lambda number: path((VOTE, BEN_SHOWS)[number % 2]), 6) as asked:
            for version in range(2, 6):
                await wrote(server, **{("add", "remove")[version % 2]: [BEN_PROJECTS]})
                house.write(version)
                await reloaded(server)
                await asked.some()
        assert asked.failed == []
        told = {
            (query, each)
            for number, query in enumerate((VOTE, BEN_SHOWS))
            for answers in asked.answers[number::2]
            for each in answers
        }
        assert len(told) > 10
        artifacts: dict[int, str] = {}
        for query, answer in sorted(told):
            decision = msgspec.json.decode(answer)
            epoch = decision["epoch"]
            if epoch not in artifacts:
                artifacts[epoch] = await asyncio.to_thread(replay.artifact_of, epoch, str(house.runtime))
            artifact = house.state / "artifacts" / artifacts[epoch]
            assert await asyncio.to_thread(replay.repeated, artifact, house.data, query, decision) == decision
        assert len(set(artifacts.values())) == 5

        places = ("--state", str(house.state), "--data", str(house.data), "--runtime-dir", str(house.runtime))
        command = (sys.executable, str(EXAMPLE / "replay.py"), *places, VOTE)
        right = '{"allowed":true,"because":["v3"],"epoch":3,"facts":0}'
        for answer, status in ((right, 0), (right.replace("v3", "v2"), 1), (right.replace(":3", ":99"), 2)):
            done = await asyncio.to_thread(subprocess.run, (*command, answer), capture_output=True, timeout=60)
            assert done.returncode == status, done


@pytest.fixture
def worker(house: House) -> Iterator[SimulatedWorker]:
    with SimulatedWorker(house.plugin, config={"data": str(house.data)}) as worker:
        yield worker


WRONG = [
    ("rules/x.lp", "\nmay(X) :- can(X), not banned(X).\n", r"rules/x\.lp:2:19: negation is not Datalog"),
    ("rules/x.lp", "{ may(X) } :- can(X).\n", r"rules/x\.lp:1:1: a rule derives one atom"),
    ("rules/x.lp", ":- can(X).\n", r"rules/x\.lp:1:1: a rule derives one atom"),
    ("rules/x.lp", "n(X+1) :- n(X).\n", r"rules/x\.lp:1:3: arguments are variables"),
    ("rules/x.lp", "n(f(X)) :- n(X).\n", r"rules/x\.lp:1:3: arguments are variables"),
    ("rules/x.lp", "n(1..3).\n", r"rules/x\.lp:1:3: arguments are variables"),
    ("rules/x.lp", "n(X) :- X = #count { Y : m(Y) }.\n", r"rules/x\.lp:1:9: .* is not Datalog"),
    ("rules/x.lp", "#show n/1.\n", r"rules/x\.lp:1:1: only rules and facts are Datalog"),
    ("rules/x.lp", "n(X) :- m(Y).\n", r"rules/x\.lp:1:1: unsafe variables in"),
    ("rules/x.lp", "n(a).\nn(X) - m(X).\n", r"rules/x\.lp:2:12: syntax error, unexpected \."),
    ("facts/x.lp", "n(1).\nn(X) :- m(X).\n", r"facts/x\.lp:2:1: a rule among facts"),
    ("facts/x.lp", "n(1).\nn(X).\n", r"facts/x\.lp:2:1: "),
    ("policies/x.cedar", "// one\npermit (principal, action, resource);\n", r"x\.cedar:2: a policy without a name"),
    ("policies/x.cedar", '@id("v1")\npermit (principal, action, resource);', r'cedar:1: @id\("v1"\) is at .*version'),
    ("policies/x.cedar", '@id("x;y") // ;\npermit (principal, action, resource)', r"cedar:1: a policy ends with `;`"),
    (
        "policies/x.cedar",
        '@id("x")\npermit (principal == ?principal, action, resource);',
        r"policies/x\.cedar:1: a template with the slot \?principal, which nothing fills",
    ),
    (
        "policies/x.cedar",
        '@id("x")\n// ?resource\npermit (principal, action, resource);\n@id("y")\n'
        "forbid (principal, action, resource in ?resource);",
        r"policies/x\.cedar:4: a template with the slot \?resource",
    ),
    ("policies/x.cedar", '\n// @id("x") permt;\n\n@id("x")\npermt;\n', r"policies/x\.cedar:4: no Cedar policy: "),
]


@pytest.mark.parametrize(("file", "text", "said"), WRONG)
def test_what_cannot_be_decided_by_is_refused_with_file_line_and_reason(
    worker: SimulatedWorker, tmp_path: Path, file: str, text: str, said: str
) -> None:
    changed = tmp_path / "changed" / file
    changed.parent.mkdir(parents=True)
    changed.write_text(text)
    with pytest.raises(SwapRefused, match=said) as refused:
        worker.resources(tmp_path / "changed")
    assert refused.value.refusal.hook == "on_resources"
    assert worker.get(path(VOTE)).json()["because"] == ["v1"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", "ask principal="),
        ("principal=User::ann&action=vote", "missing required field `resource`"),
        (f"{VOTE}&principle=x", "unknown field `principle`"),
        ("principal=User%20x::ann&action=vote&resource=Ballot::now", "'User x::ann' is no entity"),
        ("principal=ann&action=vote&resource=Ballot::now", "'ann' is no entity"),
    ],
)
def test_what_is_no_question_is_told_so(worker: SimulatedWorker, query: str, said: str) -> None:
    answer = worker.get(path(query))
    assert answer.status == 400
    assert said in answer.json()["detail"]


def test_nothing_is_allowed_where_a_condition_cannot_be_told(worker: SimulatedWorker, house: House) -> None:
    """Cedar itself passes over the policy, and would allow what the other ones permit."""
    assert worker.get(path(SHOW)).json()["allowed"]
    forbids = 'forbid (principal, action, resource) when { resource.owner == "x" };'
    house.put("policies/x.cedar", f'@id("?mine")\n{forbids}\n')
    worker.swap(house.plugin)
    answer = worker.get(path(SHOW))
    assert answer.status == 400, answer.text
    assert "owner" in answer.json()["detail"]
    assert worker.get("/about").json()["answers"] == 0


def test_an_answer_to_a_long_question_is_not_kept(worker: SimulatedWorker) -> None:
    asked = "principal=User::{}&action=vote&resource=Ballot::now"
    longest = 512 - len(asked.format(""))
    for length in (longest, longest + 1):
        assert worker.get(path(asked.format("a" * length))).status == 200
        assert worker.get("/about").json()["answers"] == 1


@pytest.mark.parametrize("wrong", ["member(X)", "1", "n(1..2)", "n(f(1))", "-n(1)", "n(1). m(2)", "", "not n"])
def test_what_is_no_fact_is_not_written(worker: SimulatedWorker, wrong: str) -> None:
    answer = worker.post("/facts", json={"add": ["n(1)", wrong]})
    assert answer.status == 400, answer.text
    assert worker.get("/facts").json()["version"] == 0


def test_facts_are_kept_in_one_form_and_undo_what_a_file_states(worker: SimulatedWorker) -> None:
    assert worker.post("/facts", json={"remove": ['member( "User::ann","Group::projection" )']}).status == 200
    assert not worker.get(path(SHOW)).json()["allowed"]
    assert worker.post("/facts", json={"add": ['member("User::ann","Group::projection")']}).status == 200
    assert worker.get(path(SHOW)).json()["allowed"]


def test_a_circle_of_groups_is_no_hindrance(worker: SimulatedWorker) -> None:
    circle = ['member("Group::staff","Group::projection")', 'within("Archive::house","Reel::nosferatu")']
    assert worker.post("/facts", json={"add": circle}).status == 200
    assert worker.get(path(BEN_SHOWS)).json()["allowed"]


def test_what_a_killed_writer_left_is_taken_away_by_the_next_one(worker: SimulatedWorker, house: House) -> None:
    version = worker.post("/facts", json={"add": [BEN_PROJECTS]}).json()["version"]
    with (house.data / "facts.log").open("ab") as ledger:
        ledger.write(b'{"add":["member(' + b"x" * 9000)
    assert worker.get(path(BEN_SHOWS)).json()["facts"] == version
    after = worker.post("/facts", json={"remove": [BEN_PROJECTS]}).json()["version"]
    assert after == (house.data / "facts.log").stat().st_size < version + 9000
    assert not worker.get(path(BEN_SHOWS)).json()["allowed"]


def test_who_writes_waits_for_who_writes_already(worker: SimulatedWorker, house: House) -> None:
    worker.post("/facts", json={"add": [BEN_PROJECTS]})
    with (house.data / "facts.log").open("rb") as ledger, ThreadPoolExecutor(1) as pool:
        fcntl.flock(ledger, fcntl.LOCK_EX)
        before = os.fstat(ledger.fileno()).st_size
        writing = pool.submit(worker.post, "/facts", json={"remove": [BEN_PROJECTS]})
        with pytest.raises(TimeoutError):
            writing.result(0.3)
        assert os.fstat(ledger.fileno()).st_size == before
        fcntl.flock(ledger, fcntl.LOCK_UN)
        assert writing.result(10).json()["version"] == os.fstat(ledger.fileno()).st_size > before


def test_a_damaged_ledger_refuses_a_new_version_and_says_where(worker: SimulatedWorker, house: House) -> None:
    worker.post("/facts", json={"add": [BEN_PROJECTS]})
    house.data.joinpath("facts.log").write_text("not a change\n")
    house.edit("plugin.toml", "1.0.0", "1.0.1")
    with pytest.raises(SwapRefused, match=r"facts\.log: the change at 0 cannot be read"):
        worker.swap(house.plugin)


def test_nothing_of_a_replaced_version_is_left(worker: SimulatedWorker, house: House) -> None:
    worker.get(path(VOTE))
    house.write(2)
    worker.swap(house.plugin)
    assert worker.get(path(VOTE)).json()["because"] == ["v2"]
    house.edit("plugin.toml", "1.0.0", "1.0.1")
    worker.swap(house.plugin)
    assert worker.get(path(VOTE)).json()["because"] == ["v2"]
    assert worker.leaks() == []


async def test_a_list_is_answered_by_the_same_facts(house: House) -> None:
    async with house.server(2) as server:
        asked = [dict(pair.split("=") for pair in query.split("&")) for query in (VOTE, SHOW, BEN_SHOWS)]
        connection = await Connection.open(server.addresses[0])
        for change in range(20):
            writing = asyncio.create_task(wrote(server, **{("add", "remove")[change % 2]: [BEN_PROJECTS]}))
            told = await posted(connection, "/decide", asked)
            assert len({each["facts"] for each in told}) == 1
            assert [each["allowed"] for each in told[:2]] == [True, True]
            await writing
        connection.close()
