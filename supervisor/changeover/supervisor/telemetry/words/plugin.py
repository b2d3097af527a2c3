"""Words for the lives of plugins."""

from itertools import groupby

from changeover.supervisor.core.records.plugin import HookStalled, PluginsMoved, StateNotTaken
from changeover.supervisor.telemetry.amounts import seconds
from changeover.supervisor.telemetry.phrases import member
from changeover.supervisor.telemetry.worded import DEBUG, INFO, WARNING, Worded, word


@word.register
def _(record: PluginsMoved) -> Worded:
    lives = (
        f"{key} is {', then '.join(move.state for move in moves)}"
        for key, moves in groupby(record.moves, lambda move: move.key)
    )
    return Worded(DEBUG, f"{member(record)}: {'; '.join(lives)}")


@word.register
def _(record: StateNotTaken) -> Worded:
    line = f"{member(record)}: {record.plugin} {record.version} begins without the state of {record.old}"
    return Worded(INFO, f"{line}: {record.why}")


@word.register
def _(record: HookStalled) -> Worded:
    held = f"kept the loop from running for {seconds(record.seconds)}: no request got on meanwhile"
    return Worded(WARNING, f"{member(record)}: {record.unit} {record.hook} {held}")
