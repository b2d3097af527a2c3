# /// script
# requires-python = ">=3.11"
# [tool.changeover]
# id = "topics"
# version = "1.0.0"
# services = { read = "topics:read" }
# ///
"""Says something about a topic; knows nothing of codes."""

from changeover.plugin import CallContext, Request, Response, service


@service
async def read(request: Request, call: CallContext) -> Response:
    topic = request.headers.get("x-topic", "everything")
    response = Response.text(f"what there is to read about {topic}\n")
    response.headers["x-topic"] = topic
    return response
