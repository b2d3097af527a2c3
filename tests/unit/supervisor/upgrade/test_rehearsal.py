"""The program that may be next reads, in a child, what it would be given."""

import os
import sys
from pathlib import Path

import pytest

from changeover.supervisor.journal.file import JournalFile
from changeover.supervisor.upgrade.handed import Handed
from changeover.supervisor.upgrade.launch import Launch
from changeover.supervisor.upgrade.rehearsal import rehearse
from changeover.workers.protocol.belongings import Belongings
from changeover.workers.protocol.messages import PROTOCOL_VERSION


@pytest.mark.parametrize("arguments", [("run", "shop:app"), ("run", "--", "shop:app"), ("dev", "-w", "2", "shop:app")])
async def test_whatever_was_typed_is_understood_again(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("async def app(scope, receive, send): ...\n")
    JournalFile(tmp_path / "copy.sqlite3", 10).close()
    launch = Launch(sys.executable, arguments, str(tmp_path), dict(os.environ))
    answer = await rehearse(launch, sys.executable, tmp_path / "copy.sqlite3", Handed("1", 0, 0, Belongings()))
    assert answer.protocol == PROTOCOL_VERSION
