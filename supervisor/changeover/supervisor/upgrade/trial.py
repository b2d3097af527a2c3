"""The new program's end of a rehearsal: it reads everything that a supervisor reads when it takes over.

`python -P -m changeover.supervisor.upgrade.trial QUESTION ANSWER`: descriptors of a file with a `Question`, and of a
pipe for the `Answer`. What is wrong is printed.
"""

import importlib
import sys
from pathlib import Path

import msgspec

from changeover.supervisor.cli import main as command
from changeover.supervisor.journal.file import JournalFile
from changeover.supervisor.release import VERSION
from changeover.supervisor.upgrade.handed import Handed
from changeover.supervisor.upgrade.rehearsal import Answer, Question
from changeover.workers.protocol.messages import PROTOCOL_VERSION

KEPT = 10
"""Epochs that a journal keeps at the least; the copy loses none by being read."""
RUNS = "changeover.supervisor.lifetime"
"""Imports everything that a service consists of."""


def understand(question: Question) -> Answer:
    """Read everything.

    Raises:
        SystemExit: The settings are wrong.
        SupervisorError: The journal cannot be read.
        msgspec.ValidationError: What would be handed over is not understood.
    """
    importlib.import_module(RUNS)
    msgspec.json.decode(question.handed, type=Handed)
    journal = JournalFile(Path(question.journal), KEPT)
    journal.recover()
    journal.close()
    # Not behind them: what follows a `--` is no flag.
    name, *arguments = question.arguments
    try:
        command.main([name, "--check-config", *arguments], prog_name="changeover")
    except SystemExit as leaving:
        if leaving.code:
            raise
    return Answer(VERSION, PROTOCOL_VERSION)


def main(asked: str, answers: str) -> None:
    """Answer the question."""
    with open(int(asked), "rb") as file:
        question = msgspec.json.decode(file.read(), type=Question)
    answer = understand(question)
    with open(int(answers), "wb") as pipe:
        pipe.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
