"""What frameworks and uvicorn test of themselves, of their examples and documentation, with this data plane below.

Their tests come out of their source distributions. Where one expects what no server does, or what this one refuses, a
table says so and why; a difference that is not in it fails, and so does a line that is not true.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.distributions import fetched

ROOT = Path(__file__).parents[3]
RUNNING = 110.0
"""Seconds that their tests may take."""
PLAIN = (
    *("-q", "-rfE", "--tb=short", "--timeout=30", "--assert=plain"),
    *("-p", "no:cacheprovider", "-p", "no:asyncio", "--override-ini=addopts=", "--override-ini=filterwarnings="),
)
DIFFERENT = re.compile(r"^(?:FAILED|ERROR) ([^\s\[(]+)|^(?:FAIL|ERROR): (\w+) \(", re.MULTILINE)
"""As pytest tells it, and as unittest does."""
PASSED = re.compile(r"^(?:.*?(\d+) passed|Ran (\d+) tests)", re.MULTILINE)
ASKED = re.compile(r"^(\d+) requests over sockets$", re.MULTILINE)

HOST = "hosts are letters, digits, `-`, `.`, `_` or an address, and ports have up to five digits; all else is a 400"
LENGTH = "a body is as long as its head says"
WHOLE = "a stream that is complete at once is sent with a Content-Length"
TRAILERS = "the client does not tell what stood behind a body"
TEMPLATE = "the response's template is known only to a client that calls the application itself"
PROBLEM = "an exception before the first byte is a problem, without details"
SESSIONS = "this client asks for WebSockets in memory; uvicorn's tests do so over the network"
BROTLI = "the client that is installed here asks for brotli, too"
REASON = "a disconnect has a reason, which may be empty"
CODE = "a session that the application leaves open is closed with 1000, or with 1011 after an exception"
AS_ROOT = {"test_staticfiles_with_invalid_dir_permissions_returns_401": "root reads all"} if os.geteuid() == 0 else {}
INSIDE = "looks into uvicorn's protocol objects"
SLASH = "a target that does not begin with a slash is a 400, and reaches no application"
CONSUMED = "a stream has been sent when this client has its response"


@dataclass(frozen=True)
class Suite:
    """Tests of another project.

    Attributes:
        name: The distribution.
        program: What runs them with this data plane.
        tests: Which ones: a pattern of paths.
        at_least: How many pass.
        left_out: Paths that are not run, and why.
        different: Tests that fail, by the name of their function, and why they do.
        keyword: What their names contain, as pytest reads it; empty for all.
        within: The folder in the distribution that they are run in.
        labels: What is run of a distribution whose tests pytest does not run.
        asked: How many requests they make at the least, where the program says so.
    """

    name: str
    program: str
    tests: str
    at_least: int
    left_out: dict[str, str] = field(default_factory=dict)
    different: dict[str, str] = field(default_factory=dict)
    keyword: str = ""
    within: str = "."
    labels: tuple[str, ...] = ()
    asked: int = 0

    def arguments(self, folder: Path) -> list[str]:
        """What the program is told to run."""
        if self.labels:
            return list(self.labels)
        paths = sorted(str(path.relative_to(folder)) for path in folder.glob(self.tests))
        selected = [path for path in paths if not any(path.startswith(out) for out in self.left_out)]
        return [*PLAIN, "-k", self.keyword, *selected]


TUTORIAL = "tests/test_tutorial"
SUITES = [
    Suite(
        "fastapi",
        "through_sockets.py",
        "tests/**/test_*.py",
        2800,
        left_out={
            "tests/test_ws": SESSIONS,
            "tests/test_dependency_concurrency": "needs trio",
            "tests/test_fastapi_cli": "asks no application, and needs fastapi-cli",
            "tests/test_multipart_installation": "is about what is installed",
            "tests/test_prepare_release": "needs typer",
            "tests/benchmarks": "needs pytest-codspeed",
            "tests/test_telemetry": "needs opentelemetry-sdk",
            f"{TUTORIAL}/test_conditional_openapi": "needs pydantic-settings",
            f"{TUTORIAL}/test_settings": "needs pydantic-settings",
            f"{TUTORIAL}/test_websockets": SESSIONS,
            f"{TUTORIAL}/test_sql_databases": "needs sqlmodel",
            f"{TUTORIAL}/test_graphql": "needs strawberry",
            f"{TUTORIAL}/test_opentelemetry": "needs opentelemetry-sdk",
            f"{TUTORIAL}/test_security/test_tutorial004": "needs pyjwt and pwdlib",
            f"{TUTORIAL}/test_security/test_tutorial005": "needs pyjwt and pwdlib",
            f"{TUTORIAL}/test_extra_models/test_tutorial001": "needs email-validator",
            f"{TUTORIAL}/test_response_model/test_tutorial002": "needs email-validator",
            f"{TUTORIAL}/test_response_model/test_tutorial003.": "needs email-validator",
            f"{TUTORIAL}/test_response_model/test_tutorial003_01": "needs email-validator",
        },
        different={
            "test_header_param_model_invalid": BROTLI,
            "test_header_param_model_no_underscore": BROTLI,
            "test_broken_session_stream_no_raise": "a response is broken off where its stream fails",
        },
        keyword="not non_an",  # the same once more, in the older of two notations
    ),
    Suite(
        "starlette",
        "through_sockets.py",
        "tests/**/test_*.py",
        600,
        left_out={
            "tests/test_websockets": SESSIONS,
            "tests/test_testclient": "is about the client that is replaced here",
            "tests/middleware/test_opentelemetry": "needs opentelemetry-sdk",
        },
        different={
            "test_received_bytes_are_counted_with_unreliable_content_length": LENGTH,
            "test_gzip_streaming_response": WHOLE,
            "test_gzip_streaming_response_identity": WHOLE,
            "test_gzip_ignored_for_responses_with_encoding_set": WHOLE,
            "test_gzip_ignored_on_server_sent_events": WHOLE,
            "test_gzip_streaming_response_emits_output_per_chunk": WHOLE,
            "test_gzip_trailers": TRAILERS,
            "test_gzip_excluded_content_type_trailers": TRAILERS,
            "test_https_redirect_middleware": HOST,
            "test_trusted_host_middleware_ipv6": HOST,
            "test_host_routing_rejects_invalid_hosts": HOST,
            "test_host_routing_ignores_port": HOST,
            "test_host_routing_ip_literals": HOST,
            "test_http_endpoint_does_not_dispatch_non_verb_method": "methods are those that httptools knows: 501",
            "test_force_500_response": PROBLEM,
            "test_request_send_push_promise": "there is no push in HTTP/1.1",
            "test_response_phrase": "123 is no status of a final response",
            **AS_ROOT,
            "test_templates": TEMPLATE,
            "test_calls_context_processors": TEMPLATE,
            "test_template_with_middleware": TEMPLATE,
            "test_templates_with_directories": TEMPLATE,
            "test_templates_with_environment": TEMPLATE,
        },
    ),
    Suite(
        "uvicorn",
        "in_place_of_uvicorn.py",
        "tests/protocols/test_websocket.py",
        40,
        different={
            "test_duplicate_handshake": CODE,
            "test_asgi_return_value": CODE,
            "test_close_transport_on_asgi_return": CODE,
            "test_connection_lost_before_handshake_complete": REASON,
            "test_send_close_on_server_shutdown": REASON,
            "test_server_reject_connection": REASON,
            "test_server_reject_connection_with_response": REASON,
            "test_server_reject_connection_with_multibody_response": REASON,
            "test_server_reject_connection_with_invalid_status": PROBLEM,
            "test_frame_after_close_handshake_is_ignored": INSIDE,
            "test_server_keepalive_ping_pong": INSIDE,
            "test_server_keepalive_disabled": INSIDE,
            "test_no_date_header": "there is always a Date",
            "test_multiple_server_header": "an application's Server takes the place of the server's own",
        },
        keyword="httptools and websockets-sansio",
    ),
    Suite(
        "flask",
        "flask_through_sockets.py",
        "tests/test_*.py",
        400,
        left_out={"tests/test_cli": "asks no application, and is written for an older pytest"},
        asked=400,
    ),
    Suite("flask", "flask_through_sockets.py", "tests/test_*.py", 24, within="examples/tutorial", asked=40),
    Suite("flask", "flask_through_sockets.py", "tests/test_*.py", 8, within="examples/javascript", asked=8),
    Suite(
        "django",
        "django_through_sockets.py",
        "",
        450,
        different={
            "test_404_error_reporting_ignored_url": SLASH,
            "test_invalid_urls": SLASH,
            "test_async_streaming": CONSUMED,
            "test_request_signals_streaming_response": CONSUMED,
            **({"test_readonly_root": "root writes all"} if os.geteuid() == 0 else {}),
        },
        labels=(
            *("test_client", "test_client_regress", "conditional_processing", "file_uploads"),
            *("middleware", "handlers", "flatpages_tests", "redirects_tests"),
        ),
        asked=400,
    ),
]


def ran(suite: Suite, folder: Path) -> str:
    """All that their tests print."""
    program = Path(__file__).with_name(suite.program)
    command = [sys.executable, "-P", str(program), *suite.arguments(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=RUNNING, check=False
    )
    return done.stdout + done.stderr


def titled(suite: Suite) -> str:
    return f"{suite.name} {suite.within}".removesuffix(" .")


@pytest.mark.parametrize("suite", [pytest.param(suite, id=titled(suite)) for suite in SUITES])
def test_tests_of_others_pass_over_the_network(suite: Suite) -> None:
    folder = fetched(suite.name, version(suite.name)) / suite.within
    told = ran(suite, folder)
    found = {(one or other).rpartition("::")[2] for one, other in DIFFERENT.findall(told)}
    passed = PASSED.search(told)
    assert passed, told[-3000:]
    assert found == set(suite.different), told[-6000:]
    assert int(passed[1] or passed[2]) >= suite.at_least
    asked = ASKED.search(told)
    assert (int(asked[1]) if asked else 0) >= suite.asked
