import http.client
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from changeover.supervisor.api.client import USER_AGENT
from changeover.supervisor.api.routes import ENDPOINTS
from changeover.supervisor.core.edits import Add, PipelineEdit, RemovePlugin
from changeover.supervisor.core.entries import Trigger
from changeover.supervisor.core.events import Urgency
from changeover.supervisor.core.outcome import Action
from tests.fake_control import FakeControl, serving


class Answer(msgspec.Struct):
    """What came back."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.content)


class Caller:
    """Speaks plain HTTP to a Unix socket."""

    def __init__(self, path: Path, control: FakeControl) -> None:
        self.path = path
        self.control = control

    def __call__(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("control")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(10)
        connection.sock.connect(str(self.path))
        connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, content)


@pytest.fixture
def call(tmp_path: Path) -> Iterator[Caller]:
    control = FakeControl()
    with serving(control, tmp_path) as path:
        yield Caller(path, control)


def test_two_epochs_are_compared_or_what_serves_and_what_is_on_disk(call: Caller) -> None:
    two = call("GET", "/v1/diff?from=3&to=7").json
    assert (two["before"], two["after"], two["units"][0]["unit"]) == (3, 7, "plugin geo")
    assert call("GET", "/v1/diff?from=3").json == two
    assert call("GET", "/v1/diff").json["after"] is None
    for query, problem in (("from=99", (404, "unknown-epoch")), ("from=x", (422, "malformed-query"))):
        answer = call("GET", f"/v1/diff?{query}")
        assert (answer.status, answer.json["type"]) == problem
    assert call("GET", "/v1/diff?to=7").json["detail"] == "to goes with from: say which epoch it is compared with"


def test_status_is_one_read_with_the_epoch_as_etag(call: Caller) -> None:
    answer = call("GET", "/v1/status")
    assert (answer.status, answer.headers["etag"]) == (200, '"7"')
    assert answer.json["epoch"] == 7
    assert [slot["epoch"] for slot in answer.json["slots"]] == [7, 7, 7, 7]


def test_a_cutover_answers_with_its_outcome(call: Caller) -> None:
    answer = call("POST", "/v1/cutovers", b'{"label": "pricing 1.5", "only": ["pricing"]}', user_agent=USER_AGENT)
    assert answer.status == 200
    assert (answer.json["outcome"]["type"], answer.json["outcome"]["serving"]) == ("Committed", 8)
    assert answer.json["reached"] == "active"
    [request] = call.control.requests
    assert (request.only, request.action) == (("pricing",), Action.RELOAD)
    assert (request.origin.label, request.origin.uid) == ("pricing 1.5", os.getuid())
    assert request.origin.trigger is Trigger.COMMAND


def test_a_client_that_is_no_command_is_told_apart(call: Caller) -> None:
    call("POST", "/v1/cutovers")
    assert call.control.requests[0].origin.trigger is Trigger.API


def test_a_refusal_is_an_outcome_with_the_workers_own_traceback(call: Caller) -> None:
    call.control.refusing = True
    answer = call("POST", "/v1/cutovers", b"{}")
    assert (answer.status, answer.json["outcome"]["type"], answer.json["reached"]) == (409, "Refused", None)
    assert "no connection to db:5432" in answer.json["outcome"]["refusals"][0]["refusal"]["traceback"]


def test_a_precondition_on_another_epoch_starts_nothing(call: Caller) -> None:
    answer = call("POST", "/v1/cutovers", b"{}", if_match='"6"')
    assert (answer.status, answer.json["type"], answer.json["epoch"]) == (412, "epoch-passed", 7)
    assert call.control.requests == []


def test_a_precondition_that_holds_is_checked_again_by_the_coordinator(call: Caller) -> None:
    assert call("POST", "/v1/cutovers", b"{}", if_match='"7"').status == 200
    assert call.control.requests[0].if_epoch == 7


def test_progress_comes_as_events_and_ends_with_the_outcome(call: Caller) -> None:
    answer = call("POST", "/v1/cutovers", b"{}", accept="text/event-stream")
    events = [line for line in answer.content.decode().splitlines() if line.startswith("event: ")]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert events[0] == "event: told"
    assert events[-2:] == ["event: outcome", "event: end"]
    assert len([event for event in events if event == "event: told"]) == 12


def test_a_cutover_that_cannot_start_is_a_problem_in_the_stream(call: Caller) -> None:
    call.control.stopped = Urgency.GRACEFUL
    assert (
        b'event: problem\ndata: {"type":"stopping"' in call("POST", "/v1/cutovers", accept="text/event-stream").content
    )
    assert call("POST", "/v1/cutovers").status == 503


def test_a_rollback_names_the_epoch_to_go_back_to(call: Caller) -> None:
    assert call("POST", "/v1/rollbacks", b'{"to": 5}').status == 200
    [request] = call.control.requests
    assert (request.action, request.to) == (Action.ROLLBACK, 5)


API = "/v1/pipelines/shop.example%2Fapi"
ADD = b'{"edits": [{"op": "add", "handler": "pricing:tax", "after": "pricing:discount"}], "label": "tax"}'
EDITS = (Add("pricing:tax", after="pricing:discount"),)


def test_a_pipeline_is_found_by_a_name_with_slashes_and_has_its_digest_as_etag(call: Caller) -> None:
    for target in (API, "/v1/pipelines/shop.example/api"):
        answer = call("GET", target)
        assert (answer.status, answer.headers["etag"]) == (200, '"digest of 7"')
        assert answer.json["id"] == "shop.example/api"
        assert [handler["name"] for handler in answer.json["handlers"]] == ["pricing:discount"]
        assert answer.json["edited"]
    assert call("GET", "/v1/pipelines/nowhere").json["type"] == "unknown-pipeline"


def test_an_edit_is_a_cutover_of_one_pipeline(call: Caller) -> None:
    answer = call("PATCH", f"{API}/handlers", ADD, if_match='"digest of 7"')
    assert (answer.status, answer.json["outcome"]["type"], answer.json["outcome"]["serving"]) == (200, "Committed", 8)
    [request] = call.control.requests
    assert (request.action, request.origin.label) == (Action.EDIT, "tax")
    assert request.edit == PipelineEdit("shop.example/api", EDITS, "digest of 7")
    assert call("PATCH", f"{API}/handlers", ADD, if_match="*", accept="text/event-stream").status == 200
    assert call.control.requests[1].edit == PipelineEdit("shop.example/api", EDITS)


def test_an_edit_may_name_several_contents_and_holds_for_the_one_that_serves(call: Caller) -> None:
    assert call("PATCH", f"{API}/handlers", ADD, if_match='"digest of 6"').status == 412
    assert call("PATCH", f"{API}/handlers", ADD, if_match='"digest of 6", "digest of 7"').status == 200
    [request] = call.control.requests
    assert request.edit == PipelineEdit("shop.example/api", EDITS, "digest of 7")


@pytest.mark.parametrize(
    ("headers", "status", "problem"),
    [({}, 428, "precondition-missing"), ({"if_match": '"digest of 6"'}, 412, "pipeline-changed")],
)
def test_an_edit_without_a_precondition_that_holds_starts_nothing(
    call: Caller, headers: dict[str, str], status: int, problem: str
) -> None:
    answer = call("PATCH", f"{API}/handlers", ADD, **headers)
    assert (answer.status, answer.json["type"]) == (status, problem)
    assert call.control.requests == []


def test_an_edit_that_was_outrun_is_a_precondition_that_failed(call: Caller) -> None:
    call.control.outrunning = True
    answer = call("PATCH", f"{API}/handlers", ADD, if_match='"digest of 7"')
    assert (answer.status, answer.json["type"]) == (412, "pipeline-changed")
    call.control.outrunning = True
    streamed = call("PATCH", f"{API}/handlers", ADD, if_match='"digest of 8"', accept="text/event-stream")
    assert b'event: problem\ndata: {"type":"pipeline-changed"' in streamed.content


@pytest.mark.parametrize(
    ("method", "target", "body", "status", "detail"),
    [
        ("POST", "/v1/cutovers", b'{"lable": "x"}', 422, "unknown field `lable`"),
        ("POST", "/v1/cutovers", b'{"only": [1]}', 422, "$.only[0]"),
        ("GET", "/v1/epochs/9223372036854775808", None, 422, "epoch is '9223372036854775808'"),
        ("POST", "/v1/cutovers", b"{", 422, "truncated"),
        ("POST", "/v1/cutovers", b'{"label": "' + b"x" * 70000 + b'"}', 413, "longer than"),
        ("PUT", "/v1/scale", b'{"slots": 0}', 422, "1 to 256"),
        ("PUT", "/v1/scale", b"", 422, "slots"),
        ("PUT", "/v1/scale", b'{"slots": 200}', 409, "there is room for 100 now"),
        ("POST", "/v1/cutovers", b'{"batch": 0}', 422, "batch is '0', but must be a whole number, 1 to 256"),
        ("POST", "/v1/cutovers", b'{"surge": -1}', 422, "surge is '-1', but must be a whole number, 0 to 256"),
        ("GET", "/v1/epochs/99", None, 404, "does not know epoch 99"),
        ("GET", "/v1/epochs/x", None, 422, "whole number"),
        ("GET", "/v1/workers/9/registry", None, 404, "there are 0, 1, 2, 3"),
        ("GET", "/v1/workers/3/registry", None, 504, "did not answer within 5 s"),
        ("GET", "/v1/history?limit=0", None, 422, "1 to 1000"),
        ("GET", "/v1/nothing", None, 404, "Not Found"),
        ("GET", "/v1/pipelines/x", None, 404, "there are shop, shop.example/api"),
        ("PATCH", "/v1/pipelines/x/handlers", ADD, 404, "there are shop, shop.example/api"),
        ("PATCH", f"{API}/handlers", b"{}", 422, "edits"),
        ("PATCH", f"{API}/handlers", b'{"edits": [{"op": "move"}]}', 422, "$.edits[0].op"),
        ("DELETE", "/v1/status", None, 405, "Method Not Allowed"),
    ],
)
def test_every_error_is_a_problem_that_says_what_is_wrong(
    call: Caller, method: str, target: str, body: bytes | None, status: int, detail: str
) -> None:
    call.control.silent = frozenset({3})
    answer = call(method, target, body)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json["status"] == status
    assert detail in answer.json["detail"]


def test_an_error_of_our_own_is_a_problem_and_is_logged(
    call: Caller, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call.control, "status", lambda: 1 / 0)
    answer = call("GET", "/v1/status")
    assert (answer.status, answer.json["type"]) == (500, "internal")
    assert "ZeroDivisionError" in caplog.text


def test_a_registry_comes_with_its_epoch_out_of_one_read(call: Caller) -> None:
    answer = call("GET", "/v1/workers/2/registry")
    assert answer.headers["etag"] == f'"{answer.json["registry"]["epoch"]}"'
    assert answer.json["registry"]["handlers"] == {"/": ["pricing:discount"]}


def test_history_leases_and_workers_are_lists_of_views(call: Caller) -> None:
    assert [line["epoch"] for line in call("GET", "/v1/history?limit=2").json["epochs"]] == [7, 6]
    assert call("GET", "/v1/leases").json["slots"][0]["leases"][0]["path"] == "/live"
    assert call("GET", "/v1/leaks").json["slots"][0]["leaks"][0]["chain"][0] == "module shop.HOOKS"
    assert call("GET", "/v1/workers").json["epoch"] == 7
    assert call("GET", "/v1/epochs/6").json["refusals"][0]["slot"] == 2


def test_a_pipeline_has_its_digest_as_etag_and_the_list_of_them_the_epoch(call: Caller) -> None:
    every, one = call("GET", "/v1/pipelines"), call("GET", "/v1/pipelines/shop")
    assert (every.headers["etag"], one.headers["etag"]) == ('"7"', f'"{"9c41ab" * 10}"')
    assert every.json["pipelines"][0] == one.json
    assert one.json["handlers"][1]["owner"] == "pricing"


def test_the_registry_of_a_pipeline_has_one_entry_for_each_worker(call: Caller) -> None:
    answer = call("GET", "/v1/pipelines/shop/registry")
    assert [worker["slot"] for worker in answer.json["workers"]] == [0, 1, 2, 3]
    assert answer.json["workers"][3]["deviation"].startswith("it is 111111")


def test_plugins_are_a_list_with_the_epoch_as_etag(call: Caller) -> None:
    answer = call("GET", "/v1/plugins")
    assert answer.headers["etag"] == '"7"'
    assert [(each["id"], each["disk"]["state"]) for each in answer.json["plugins"]] == [
        ("pricing", "changed"),
        ("tax", "broken"),
    ]
    assert answer.json["plugins"][0]["copies"][0]["state"] == "Draining"


def test_a_removal_is_a_cutover_that_leaves_one_plugin_out(call: Caller) -> None:
    answer = call("DELETE", "/v1/plugins/pricing", b'{"label": "too dear", "dry_run": true}', **{"if-match": '"7"'})
    assert (answer.status, answer.json["outcome"]["type"]) == (200, "Planned")
    [request] = call.control.requests
    assert (request.action, request.edit) == (Action.EDIT, RemovePlugin("pricing"))
    assert (request.origin.label, request.if_epoch, request.dry_run) == ("too dear", 7, True)


def test_a_removal_of_what_does_not_serve_starts_nothing(call: Caller) -> None:
    answer = call("DELETE", "/v1/plugins/prcing")
    assert (answer.status, answer.json["type"]) == (404, "unknown-plugin")
    assert answer.json["detail"] == "no plugin prcing serves: there are pricing"
    assert call("DELETE", "/v1/plugins/pricing", None, **{"if-match": '"6"'}).status == 412
    assert call.control.requests == []


@pytest.mark.parametrize("target", ["/v1/pipelines/nothing", "/v1/pipelines/nothing/registry"])
def test_a_pipeline_that_is_not_there_is_not_found(call: Caller, target: str) -> None:
    answer = call("GET", target)
    assert (answer.status, answer.json["type"]) == (404, "unknown-pipeline")
    assert answer.json["detail"] == "there is no pipeline nothing: there are shop, shop.example/api"


def test_nobody_is_scaled_while_a_roll_in_parts_is_under_way(call: Caller) -> None:
    call.control.parted = True
    answer = call("PUT", "/v1/scale", b'{"slots": 6}')
    assert (answer.status, answer.json["type"]) == (409, "in-parts")


def test_scale_and_stop_are_accepted(call: Caller) -> None:
    assert call("PUT", "/v1/scale", b'{"slots": 6}').status == 202
    assert call.control.slots == 6
    assert call("POST", "/v1/stop", b'{"urgency": "quick"}').status == 202
    assert call.control.stopped is Urgency.QUICK


def test_ready_is_no_while_no_slot_serves(call: Caller) -> None:
    assert call("GET", "/v1/ready").status == 200
    call.control.silent = frozenset(range(4))
    assert (call("GET", "/v1/ready").status, call("GET", "/v1/live").status) == (503, 200)


def test_every_path_is_in_the_table_once_for_each_method() -> None:
    assert len({(row.method, row.path) for row in ENDPOINTS}) == len(ENDPOINTS)
