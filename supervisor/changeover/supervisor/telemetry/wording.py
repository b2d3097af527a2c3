"""The one place that has words for every record: importing it completes `word`."""

from changeover.supervisor.telemetry.worded import word
from changeover.supervisor.telemetry.words import (  # noqa: F401 - each registers the words of its subject
    boot,
    cutover,
    part,
    pipeline,
    plugin,
    preflight,
    request,
    rescue,
    retirement,
    service,
    shell,
    staffing,
    upgrade,
    worker,
)

__all__ = ["word"]
