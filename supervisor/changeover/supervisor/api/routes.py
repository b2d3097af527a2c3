"""The API's resources: one table, the only source of its routes and of its documentation."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from changeover.supervisor import control as views
from changeover.supervisor.api import answering, bodies
from changeover.supervisor.comparison import DiffView
from changeover.supervisor.operations import Control
from changeover.supervisor.pipelines import PipelineRegistryView, PipelinesView, PipelineView
from changeover.supervisor.plugins import PluginsView
from changeover.supervisor.remaining import LeaksView, LeasesView
from changeover.supervisor.telemetry.stream import Told

Handler = Callable[[Control, Request, Any], Awaitable[Response]]


class Endpoint(msgspec.Struct, frozen=True):
    """One row of the table.

    Attributes:
        method: HTTP method.
        path: Path with `{parameters}`.
        handler: What answers; its last argument is the decoded body, None where none is taken.
        summary: One line for the documentation.
        answer: The body of a successful answer.
        body: The body that is taken, None for none.
        query: Query parameters -> what they mean.
        streams: Whether it answers with server-sent events, always or to who asks for them.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answer: type[msgspec.Struct]
    body: type[bodies.Body] | None = None
    query: dict[str, str] = {}
    streams: bool = False


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET", "/v1/status", answering.status, "How the server fares. `ETag` is the committed epoch.", views.StatusView
    ),
    Endpoint(
        "POST",
        "/v1/cutovers",
        answering.cut_over,
        "Takes what is on disk into all workers (200), or refuses it (409), or cannot know (202); a stream is 200. "
        "`If-Match` makes it hold for one epoch only (412).",
        bodies.CutoverAnswer,
        bodies.CutoverBody,
        streams=True,
    ),
    Endpoint(
        "POST",
        "/v1/rollbacks",
        answering.roll_back,
        "Puts earlier committed content back, as a new epoch. `If-Match` as for cutovers.",
        bodies.CutoverAnswer,
        bodies.RollbackBody,
        streams=True,
    ),
    Endpoint(
        "GET",
        "/v1/history",
        answering.history,
        "The journal's latest epochs, newest first.",
        bodies.HistoryAnswer,
        query={"limit": f"how many at most, 1 to {answering.MOST_HISTORY}; {answering.DEFAULT_HISTORY} by default"},
    ),
    Endpoint("GET", "/v1/epochs/{epoch}", answering.explain, "All that is known of one epoch.", views.Explanation),
    Endpoint(
        "GET",
        "/v1/diff",
        answering.diff,
        "What differs between two epochs, or, without `from`, between the one that serves and what is on disk.",
        DiffView,
        query={"from": "the first epoch", "to": "the second epoch; the one that serves by default"},
    ),
    Endpoint(
        "GET",
        "/v1/leases",
        answering.leases,
        "Who holds which epoch, asked of every worker, those that leave included.",
        LeasesView,
    ),
    Endpoint(
        "GET",
        "/v1/leaks",
        answering.leaks,
        "What was released and is not gone, asked of every worker, those that leave included.",
        LeaksView,
    ),
    Endpoint("GET", "/v1/workers", answering.workers, "Every slot and the worker in it.", bodies.WorkersAnswer),
    Endpoint(
        "GET",
        "/v1/workers/{slot}/registry",
        answering.registry,
        "What one worker serves: epoch and registry out of one read. `ETag` is its epoch.",
        views.RegistryView,
    ),
    Endpoint(
        "GET",
        "/v1/pipelines",
        answering.pipelines,
        "Every pipeline that serves, with what was counted of it, asked of every worker. `ETag` is the epoch.",
        PipelinesView,
    ),
    Endpoint(
        "GET",
        "/v1/pipelines/{id:path}/registry",
        answering.pipeline_registry,
        "What every worker really runs as one pipeline, each with its epoch out of the same read, and its counts.",
        PipelineRegistryView,
    ),
    Endpoint(
        "GET",
        "/v1/pipelines/{id:path}",
        answering.pipeline,
        "One pipeline. `ETag` is its digest, which changes with its handlers, what they are made of, and what answers.",
        PipelineView,
    ),
    Endpoint(
        "PATCH",
        "/v1/pipelines/{id:path}/handlers",
        answering.edit,
        "Edits the handlers of a pipeline that serves, as a new epoch; outcomes as for cutovers. `If-Match` must say "
        "which content of it is edited: without it 428, with another than serves 412; `*` is any.",
        bodies.CutoverAnswer,
        bodies.HandlersBody,
        streams=True,
    ),
    Endpoint(
        "GET",
        "/v1/plugins",
        answering.plugins,
        "Every plugin: what serves, what lies on disk, and what every worker has of it. `ETag` is the epoch.",
        PluginsView,
    ),
    Endpoint(
        "DELETE",
        "/v1/plugins/{id}",
        answering.remove_plugin,
        "Takes a plugin out of what serves, as a new epoch; outcomes and `If-Match` as for cutovers. Its content is "
        "held: a reload does not bring it back until it changes. Refused (409) while anything that stays needs it.",
        bodies.CutoverAnswer,
        bodies.RemovalBody,
        streams=True,
    ),
    Endpoint(
        "PUT",
        "/v1/scale",
        answering.scale,
        "Changes the number of workers; the oldest leave first.",
        bodies.Accepted,
        bodies.ScaleBody,
    ),
    Endpoint(
        "POST",
        "/v1/upgrade",
        answering.upgrade,
        "Replaces the supervisor's own program, once it was tried and no cutover runs; answers when that begins. "
        "`term` in the status rises when it is done, and `fell_back` says why it was not.",
        bodies.Accepted,
        bodies.UpgradeBody,
    ),
    Endpoint("POST", "/v1/stop", answering.stop, "Ends the server.", bodies.Accepted, bodies.StopBody),
    Endpoint(
        "GET",
        "/v1/events",
        answering.events,
        "Follows what the server tells (`told` events, `id` is the number). `Last-Event-ID` resumes after a number.",
        Told,
        query={"after": "as `Last-Event-ID`", "follow": "`false` answers at once with what is kept (`EventsAnswer`)"},
        streams=True,
    ),
    Endpoint("GET", "/v1/ready", answering.ready, "Whether at least one worker serves; 503 says no.", bodies.Health),
    Endpoint("GET", "/v1/live", answering.live, "Whether the supervisor answers at all.", bodies.Health),
)
"""Every resource there is."""
