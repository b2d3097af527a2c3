"""A native pipeline of three handlers and a service."""

from changeover.plugin import CallContext, Plugin, Request, Response, inbound, outbound, service


class Greeter(Plugin[None]):
    """Says who asks, lets it in, greets, and stamps the greeting."""

    @inbound
    def identify(self, request: Request, call: CallContext) -> Response | None:
        """Leave a value for the others."""
        call.extensions["caller"] = request.client
        return None

    @inbound
    def admit(self, request: Request, call: CallContext) -> Response | None:
        """Refuse one path."""
        return Response.text("not here", 403) if request.path == "/forbidden" else None

    @outbound
    def stamp(self, request: Request, response: Response, call: CallContext) -> None:
        """Add a field."""
        response.headers["x-stamp"] = "1"

    @service
    async def hello(self, request: Request, call: CallContext) -> Response:
        """Greet."""
        return Response.text("Hello, world!")
