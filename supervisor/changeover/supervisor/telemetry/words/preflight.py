"""Words for rehearsals."""

from changeover.supervisor.core.records.preflight import PreflightCompleted, PreflightSkipped, PreflightWeak
from changeover.supervisor.telemetry.amounts import seconds
from changeover.supervisor.telemetry.phrases import rehearsed
from changeover.supervisor.telemetry.worded import DEBUG, WARNING, Worded, word


@word.register
def _(record: PreflightCompleted) -> Worded:
    did = rehearsed(record.modules, record.tests_passed, record.tests)
    line = f"epoch {record.epoch} passed its preflight in {seconds(record.seconds)} ({did})"
    if not record.warnings:
        return Worded(DEBUG, line)
    return Worded(WARNING, f"{line}, and: {'; '.join(record.warnings)}")


@word.register
def _(record: PreflightSkipped) -> Worded:
    return Worded(WARNING, f"epoch {record.epoch} goes to the workers without a preflight: {record.why}")


@word.register
def _(record: PreflightWeak) -> Worded:
    missing = "; ".join(record.missing)
    return Worded(WARNING, f"preflights are confined less than they could be: {missing} (see docs/security.md)")
