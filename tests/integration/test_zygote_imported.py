"""A zygote tells a supervisor that did not start it with which packages it imported the application."""

from changeover.workers.pinned.distributions import Distributions, own_path
from changeover.workers.plugins.artifact import put
from changeover.workers.protocol import forking
from tests.integration.test_zygote import Supervisor, supervisor

__all__ = ["supervisor"]


async def test_a_supervisor_that_reconnects_hears_of_the_record(supervisor: Supervisor) -> None:
    (supervisor.scratch / "shop.py").write_text("async def app(scope, receive, send): ...\n")
    store = supervisor.scratch / "store"
    record = put(store, Distributions.found(own_path()).files())
    preload = forking.Preload("shop:app", str(supervisor.scratch), store=str(store), distributions=record)
    zygote = await supervisor.started(preload=preload)
    async with supervisor.again(zygote) as again:
        await again.hear_only(forking.Ready(1, zygote.pid, rehearses=True, imported=record))
