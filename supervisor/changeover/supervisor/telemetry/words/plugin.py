"""Words for the lives of plugins."""

from itertools import groupby

from changeover.supervisor.core.records.plugin import (
    HookStalled,
    LeadershipMoved,
    MigrationBegan,
    MigrationDone,
    MigrationLeft,
    MigrationUndone,
    PluginsMoved,
    StateNotTaken,
)
from changeover.supervisor.telemetry.amounts import seconds
from changeover.supervisor.telemetry.phrases import member
from changeover.supervisor.telemetry.worded import DEBUG, ERROR, INFO, WARNING, Worded, word


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


@word.register
def _(record: LeadershipMoved) -> Worded:
    return Worded(INFO, f"{member(record)} leads: the exclusive work of plugins runs there")


@word.register
def _(record: MigrationBegan) -> Worded:
    return Worded(INFO, f"{member(record)} migrates for epoch {record.epoch}: {', '.join(record.plugins)}")


@word.register
def _(record: MigrationDone) -> Worded:
    return Worded(INFO, f"{member(record)} has migrated for epoch {record.epoch} in {seconds(record.took)}")


@word.register
def _(record: MigrationUndone) -> Worded:
    return Worded(WARNING, f"{member(record)} has undone what was migrated for epoch {record.epoch}, which is aborted")


@word.register
def _(record: MigrationLeft) -> Worded:
    line = f"what was migrated for epoch {record.epoch}, which is aborted, is not undone: {record.reason}"
    return Worded(ERROR, f"{line}; look at it by hand")
