"""What the benchmark of the authorization example judges, held against the example itself."""

import asyncio
from functools import partial
from pathlib import Path

from benchmarks.authz import repeat
from benchmarks.deciding import Deciding, deciding

from tests.authz import BEN_SHOWS, VOTE, House, reloaded
from tests.waits import until


def both_were_asked(told: Deciding, epoch: int) -> bool:
    return {query for query, answer in told.decided if f'"epoch":{epoch}' in answer} == {VOTE, BEN_SHOWS}


async def test_what_is_told_meanwhile_is_right_and_comes_out_the_same_when_it_is_repeated(tmp_path: Path) -> None:
    house = House(tmp_path)
    async with house.server(2) as server:
        async with deciding(server.addresses[0]) as told:
            for version in (2, 3):
                house.write(version)
                assert await reloaded(server) == version
                told.serves(version)
                await until(partial(both_were_asked, told, version))
        assert (told.wrong, told.failed) == ([], [])
        again = await asyncio.to_thread(repeat, house, told.decided)
        assert (len(again), set(again.values())) == (len(told.decided), {""})
        answer = next(answer for query, answer in told.decided if query == VOTE and "v3" in answer)
        forged = {(VOTE, answer.replace("v3", "v2"))}
        [differing] = (await asyncio.to_thread(repeat, house, forged)).values()
        assert "v3" in differing
