"""`changeover handler add`, `remove` and `replace`."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

import click
import msgspec

from changeover.supervisor.api.bodies import HandlersBody
from changeover.supervisor.cli.cutover import Wish, carry_out, editing_options
from changeover.supervisor.cli.exits import failures
from changeover.supervisor.cli.find import server, server_options
from changeover.supervisor.config.handlers import USE
from changeover.supervisor.control import Milestone
from changeover.supervisor.core.edits import Add, Remove, Replace, Written

HELP = """Edit the handlers of a pipeline that serves, without a file.

What serves, with the edit, becomes a new epoch: every worker prepares it, and all of them switch, or nothing changes.
`changeover explain EPOCH` lists pipelines and their handlers. The edit stays until the pipeline's file says something
else than it does now, and a reload takes that; `changeover status` names what is edited.

Exit status: 0 done, or nothing had changed; 1 refused, or served by nobody; 2 usage; 5 no server; 6 --wait ended.
"""


class _Pipeline(msgspec.Struct, frozen=True):
    """As much of a pipeline as an edit needs."""

    digest: str


class Setting(click.ParamType[tuple[str, Any]]):
    """`key=value`; a value that is JSON (`200`, `true`, `["a"]`) is taken as such, any other as text."""

    name = "key=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Take it apart."""
        if isinstance(value, tuple):
            return value
        key, sign, text = value.partition("=")
        if not key or not sign or key == USE:
            self.fail(f"{value!r} is no setting; write it like `limit=200`", param, ctx)
        try:
            return key, msgspec.json.decode(text)
        except msgspec.DecodeError:
            return key, text


_settings = click.option(
    "--set", "settings", type=Setting(), multiple=True, help="A setting of the handler (`limit=200`); repeatable."
)
_dry_run = click.option("--dry-run", is_flag=True, help="Only say what would change.")


@click.group("handler", help=HELP)
def command() -> None:
    """See HELP."""


@command.command("add")
@server_options
@click.argument("pipeline")
@click.argument("handler")
@click.option("--before", default="", metavar="HANDLER", help="Put it right before this one.")
@click.option("--after", default="", metavar="HANDLER", help="Put it right behind this one.")
@click.option("--at", type=click.IntRange(0), metavar="N", help="Put it at this place, counted from 0.")
@_settings
@_dry_run
@editing_options
def add(
    pipeline: str,
    handler: str,
    before: str,
    after: str,
    at: int | None,
    settings: tuple[tuple[str, Any], ...],
    **terms: Any,
) -> None:
    """Put HANDLER into PIPELINE.

    Without a place it comes to the end of its phase, unless it meets a handler there and nothing says which is first.
    """
    if bool(before) + bool(after) + (at is not None) > 1:
        raise click.UsageError("say one of --before, --after and --at")
    _edit(pipeline, Add(_written(handler, settings), before, after, at), f"add {pipeline} {handler}", **terms)


@command.command("remove")
@server_options
@click.argument("pipeline")
@click.argument("handler")
@_dry_run
@editing_options
def remove(pipeline: str, handler: str, **terms: Any) -> None:
    """Take HANDLER out of PIPELINE."""
    _edit(pipeline, Remove(handler), f"remove {pipeline} {handler}", **terms)


@command.command("replace")
@server_options
@click.argument("pipeline")
@click.argument("old")
@click.argument("new")
@_settings
@_dry_run
@editing_options
def replace(pipeline: str, old: str, new: str, settings: tuple[tuple[str, Any], ...], **terms: Any) -> None:
    """Put NEW in the place of OLD in PIPELINE; the same name with --set gives it other settings."""
    _edit(pipeline, Replace(old, _written(new, settings)), f"replace {pipeline} {old} {new}", **terms)


def _written(handler: str, settings: Iterable[tuple[str, Any]]) -> Written:
    told = dict(settings)
    return {USE: handler, **told} if told else handler


def _edit(
    pipeline: str,
    step: Add | Remove | Replace,
    typed: str,
    *,
    name: str,
    runtime_dir: str,
    label: str,
    wait: float,
    until: str,
    dry_run: bool,
) -> None:
    milestone = Milestone(until)
    target = f"/v1/pipelines/{quote(pipeline, safe='')}"
    body = HandlersBody((step,), label, dry_run, milestone)
    with failures():
        client = server(name, runtime_dir)
        digest = client.get(target, _Pipeline).digest
        wish = Wish(f"{target}/handlers", body, digest, milestone, wait, f"changeover handler {typed}", "PATCH")
        raise SystemExit(carry_out(client, wish))
