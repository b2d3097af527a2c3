"""What happens to each framework's application when it, or a plugin beside it, changes while it serves."""

import asyncio

import httpx2

from changeover.server import Committed
from tests.integration.frameworks.shops import Claim, Site, of_shops

LOAD = 4
"""Clients that ask while a shop is rolled."""


@of_shops()
def test_a_plugin_is_swapped_beside_it_and_its_instances_stay(site: Site) -> None:
    before = site.versions()
    site.write_plugin("2.0")
    outcome = site.run(site.server.reload())
    assert isinstance(outcome, Committed)
    assert httpx2.get(f"{site.url}/beside").text.startswith("2.0")
    assert site.versions() == before


class Load:
    """Clients that ask without a pause, on connections that are kept."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[str] = []
        self.failed: list[str] = []

    async def ask(self) -> None:
        async with httpx2.AsyncClient(base_url=self.url, timeout=10) as client:
            while True:
                try:
                    answer = await client.get("/version")
                except httpx2.HTTPError as error:
                    self.failed.append(repr(error))
                    return
                if answer.status_code != 200:
                    self.failed.append(f"{answer.status_code} {answer.text}")
                self.answers.append(answer.text.split()[0])

    async def answered(self, version: str) -> None:
        async with asyncio.timeout(15):
            while self.answers.count(version) < 50 and not self.failed:
                await asyncio.sleep(0.01)


async def rolled(site: Site) -> Load:
    """Roll it to its second version under load."""
    load = Load(site.url)
    asking = [asyncio.create_task(load.ask()) for _ in range(LOAD)]
    await load.answered("1")
    site.edit('VERSION = "1"', 'VERSION = "2"')
    site.configure("/high/street")
    outcome = await site.server.reload()
    assert isinstance(outcome, Committed), outcome
    await load.answered("2")
    for task in asking:
        task.cancel()
    await asyncio.wait(asking)
    return load


@of_shops()
def test_it_is_rolled_to_new_code_and_a_new_root_path_under_load_and_no_request_fails(site: Site) -> None:
    load = site.run(rolled(site))
    assert load.failed == []
    assert load.answers[-1] == "2"
    assert site.client.get("/where").text == f"{site.url}/high/street/items/1"
    assert site.client.get("/old").headers["location"].endswith("/high/street/items/1")
    assert site.client.get("/items/3?q=a").json() == {"number": 3, "q": ["a"]}
    assert site.client.get("/static/style.css").status_code == 200
    if Claim.LIFESPAN not in site.shop.lacks:
        site.noted("ended-*")
