"""The tables in `docs/http-api.md`, made from the route table, the problems and the Structs of all bodies.

`python -m changeover.supervisor.api.reference docs/http-api.md` writes them between the page's marks.
"""

import http
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from changeover.supervisor.api.problems import STATUS, Problem
from changeover.supervisor.api.routes import ENDPOINTS, Endpoint
from changeover.supervisor.telemetry.reference import document, reachable, table


def body() -> str:
    """Every resource, every problem, every Struct."""
    bodies = tuple(dict.fromkeys(row.body for row in ENDPOINTS if row.body is not None))
    answers: tuple[type[msgspec.Struct], ...] = tuple(dict.fromkeys((*(row.answer for row in ENDPOINTS), Problem)))
    inner = reachable((*bodies, *answers))
    sections = [
        "## Resources",
        *(_resource(row) for row in ENDPOINTS),
        "## Problems",
        "\n".join(_problems()),
        "## Bodies that are taken",
        *(table(shape.__name__, shape) for shape in bodies),
        "## Bodies that are answered",
        *(table(shape.__name__, shape) for shape in answers),
        "## What bodies are made of",
        *(table(shape.__name__, shape) for shape in inner),
    ]
    return "\n\n".join(sections)


def _resource(row: Endpoint) -> str:
    lines = [f"### {row.method} {row.path.replace(':path', '')}", "", row.summary, ""]
    if row.body is not None:
        lines.append(f"- takes [{row.body.__name__}](#{row.body.__name__.lower()})")
    lines += (f"- `?{name}=`: {meaning}" for name, meaning in row.query.items())
    lines.append(f"- answers [{row.answer.__name__}](#{row.answer.__name__.lower()})")
    if row.streams and row.body is not None:
        lines.append(
            "- with `Accept: text/event-stream`: `told` on the way, then `outcome`, and last `end` or `problem`"
        )
    return "\n".join(lines)


def _problems() -> Iterator[str]:
    yield "| status | `type` | when |"
    yield "|---|---|---|"
    for error, (status, name) in STATUS.items():
        meaning = inspect.cleandoc(error.__doc__ or "").partition("\n")[0]
        yield f"| {status} {http.HTTPStatus(status).phrase} | `{name}` | {meaning} |"
    yield "| 404, 405, ... | `http` | No such resource, or not with that method. |"
    yield "| 500 Internal Server Error | `internal` | A mistake of ours; the supervisor's log has the traceback. |"


def main(page: Path) -> None:
    """Write fresh tables into the page."""
    page.write_text(document(page.read_text("utf-8"), body()), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
