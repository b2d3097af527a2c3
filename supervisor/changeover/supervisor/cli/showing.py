"""One answer of the server, laid out for people or as it came."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import click

from changeover.supervisor.api.client import Client

T = TypeVar("T")

as_json_option = click.option("--json", "as_json", is_flag=True, help="Print what the server says, as JSON.")
"""Adds `--json` to a command; it takes `as_json`."""


def show(client: Client, target: str, type: type[T], lines: Callable[[T], Iterable[str]], *, as_json: bool) -> None:
    """Ask and print.

    Args:
        client: The server.
        target: Path and query.
        type: What is answered.
        lines: Lays it out.
        as_json: Whether it is printed as it came.
    """
    if as_json:
        click.echo(client.raw("GET", target))
        return
    for line in lines(client.get(target, type)):
        click.echo(line)


def unanswered(slots: tuple[int, ...]) -> Iterator[str]:
    """Say which workers did not answer; nothing where all did."""
    if slots:
        yield f"! no answer from slot {', '.join(map(str, slots))}"
