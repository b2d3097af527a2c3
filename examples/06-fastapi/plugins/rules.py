# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "rules"
# version = "1.0.0"
# handlers = { discount = "inbound" }
# ///
"""The rule that changes every week, apart from the application that does not."""

from changeover.plugin import CallContext, Request, inbound

GROUPS = {"gold": 20}


@inbound
def discount(request: Request, call: CallContext) -> None:
    call.extensions["discount"] = GROUPS.get(request.headers.get("x-group", ""), 0)
