"""One lifespan per application instance."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette

from changeover.workers.serving.asgi import Application, Receive, Scope, Send
from changeover.workers.serving.late import HookTimeout
from changeover.workers.serving.lifespan import LifespanFailed
from tests.waits import until


def starlette(lifespan: Any) -> Application:
    return Application("app", Starlette(lifespan=asynccontextmanager(lifespan)))


async def test_startup_and_shutdown_run_once_in_one_task_and_leave_state() -> None:
    seen: list[object] = []

    async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
        seen.append(asyncio.current_task())
        yield {"pool": "open"}
        seen.append(asyncio.current_task())

    application = starlette(lifespan)
    await application.start(5)
    assert application.state == {"pool": "open"}
    await application.stop(5)
    await application.stop(5)
    assert len(seen) == 2
    assert seen[0] is seen[1] is not asyncio.current_task()


async def test_a_startup_that_raises_is_refused_with_its_traceback_and_cause() -> None:
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if not app.routes:
            raise ConnectionError("no database")
        yield

    with pytest.raises(LifespanFailed) as failed:
        await starlette(lifespan).start(5)
    assert "no database" in str(failed.value)
    assert "Traceback" in failed.value.reason
    assert isinstance(failed.value.__cause__, ConnectionError)


async def test_a_startup_that_hangs_is_cancelled_at_its_deadline() -> None:
    cancelled = asyncio.Event()

    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        yield

    with pytest.raises(LifespanFailed, match=r"longer than 0\.01 s") as failed:
        await starlette(lifespan).start(0.01)
    assert cancelled.is_set()
    late = failed.value.__cause__
    assert isinstance(late, HookTimeout)
    assert "await asyncio.Event().wait()" in [frame.line for frame in late.stack]


async def test_a_startup_that_is_given_up_is_cancelled() -> None:
    cancelled = asyncio.Event()
    begun = asyncio.Event()

    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        yield

    starting = asyncio.create_task(starlette(lifespan).start(5))
    await begun.wait()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert cancelled.is_set()


async def test_sys_exit_in_startup_is_a_refusal_and_not_the_end_of_the_worker() -> None:
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if not app.routes:
            raise SystemExit(3)
        yield

    with pytest.raises(LifespanFailed, match=r"sys\.exit\(3\)|SystemExit"):
        await starlette(lifespan).start(5)


async def only_http(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["type"] == "http"


async def answers_anything(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200})


async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    return


@pytest.mark.parametrize("app", [only_http, answers_anything, returns])
async def test_an_application_without_a_lifespan_is_started_at_once(app: Any) -> None:
    application = Application("app", app)
    await application.start(5)
    await application.stop(5)


async def test_a_startup_that_raises_after_it_was_asked_is_no_missing_lifespan() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        raise KeyError("DSN")

    with pytest.raises(LifespanFailed, match=r"KeyError\('DSN'\)"):
        await Application("app", app).start(5)


async def test_a_shutdown_that_raises_is_reported() -> None:
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        raise ValueError("cannot close")

    application = starlette(lifespan)
    await application.start(5)
    with pytest.raises(LifespanFailed, match="cannot close"):
        await application.stop(5)


async def test_a_shutdown_that_hangs_is_cancelled_at_its_deadline() -> None:
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.Event().wait()

    application = starlette(lifespan)
    await application.start(5)
    with pytest.raises(LifespanFailed, match=r"shutdown of application app failed: it took longer than 0\.01 s"):
        await application.stop(0.01)


@pytest.mark.parametrize("error", [KeyError, SystemExit])
async def test_a_lifespan_that_fails_while_it_serves_is_logged(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        raise error("consumer")

    application = Application("app", app)
    with caplog.at_level(logging.ERROR):
        await application.start(5)
        await until(lambda: caplog.records)
    assert "failed while it serves" in caplog.text
    with pytest.raises(LifespanFailed, match="consumer"):
        await application.stop(5)
