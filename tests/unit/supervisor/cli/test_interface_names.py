"""What is typed at -k, by fingers of gunicorn's and uvicorn's users too."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from changeover.supervisor.cli.interface_names import ELSEWHERE, NAMES, meant
from changeover.supervisor.cli.run import command
from tests.unit.supervisor.cli.test_serving_options import printed


@pytest.mark.parametrize(
    ("typed", "interface", "threads"),
    [
        ("", "auto", 4),
        ("-k wsgi", "wsgi", 4),
        ("--interface asgi", "asgi", 4),
        ("--worker-class sync", "wsgi", 1),
        ("-k sync --threads 8", "wsgi", 8),
        ("-k uvicorn.workers.UvicornWorker", "asgi", 4),
    ],
)
def test_a_name_stands_for_an_interface(tmp_path: Path, typed: str, interface: str, threads: int) -> None:
    app = printed(tmp_path, *typed.split(), "shop:app")["app"]
    assert (app["interface"], app["threads"]) == (interface, threads)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_means_one_of_what_can_be_configured(name: str) -> None:
    interface, *_ = meant(name, None)
    assert interface.value in ("auto", "asgi", "wsgi")


@pytest.mark.parametrize("name", [*ELSEWHERE, "egg:gunicorn#gevent", "mine.Worker"])
def test_other_names_are_refused_with_what_to_do(name: str) -> None:
    result = CliRunner().invoke(command, ["-k", name, "shop:app"])
    hint = ELSEWHERE.get(name.removeprefix("egg:gunicorn#"), "it is auto, asgi or wsgi")
    assert result.exit_code == 2
    assert f"{name} is no interface here: {hint}" in " ".join(result.output.split())
