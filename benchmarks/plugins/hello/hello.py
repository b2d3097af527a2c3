"""A native service that greets."""

from changeover.plugin import CallContext, Request, Response, service


@service
async def hello(request: Request, call: CallContext) -> Response:
    """Greet."""
    return Response.text("Hello, world!")
