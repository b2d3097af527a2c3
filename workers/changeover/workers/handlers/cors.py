"""`cors`: lets pages of other origins ask, as the Fetch standard has it."""

import re
from collections.abc import Iterable

from changeover.plugin import CallContext, Request, Response, outbound, preflight
from changeover.workers.handlers.negotiation import add_vary
from changeover.workers.handlers.settings import Cors

SAFELISTED = frozenset({"accept", "accept-language", "content-language", "content-type"})
"""Fields that need no permission, mostly; some browsers ask all the same."""


class Origins:
    """Whose pages may ask. Pure.

    Args:
        written: Origins, with `*` for any subdomain, or for all.
        expression: What a whole origin may match instead; empty for nothing.
    """

    def __init__(self, written: Iterable[str], expression: str) -> None:
        patterns = [
            re.escape(each.lower()).replace(r"://\*\.", r"://(?:[a-z0-9-]+\.)+") for each in written if each != "*"
        ]
        self.everybody = "*" in written
        self._known = re.compile("|".join(patterns)) if patterns else None
        self._expression = re.compile(expression) if expression else None

    def __contains__(self, origin: str) -> bool:
        if self.everybody:
            return True
        if self._known is not None and self._known.fullmatch(origin.lower()):
            return True
        return self._expression is not None and self._expression.fullmatch(origin) is not None


class CrossOrigins:
    """Answers preflights, and marks every response, errors too, for the origin that may read it.

    Args:
        settings: As configured.
    """

    def __init__(self, settings: Cors) -> None:
        self._origins = Origins(settings.origins, settings.origin_regex)
        self._settings = settings
        self._methods = frozenset(method.upper() for method in settings.methods)
        self._fields = SAFELISTED | {field.lower() for field in settings.headers}

    @preflight
    def answer(self, request: Request, call: CallContext) -> Response | None:
        """Answer a preflight; any other request goes on."""
        origin, method = request.headers.get("origin"), request.headers.get("access-control-request-method")
        if request.method != "OPTIONS" or origin is None or method is None:
            return None
        asked = [name.strip().lower() for name in request.headers.get("access-control-request-headers", "").split(",")]
        asked = [name for name in asked if name]
        unmet = self._unmet(origin, method, asked)
        response = Response.problem(403, "Not allowed across origins", unmet) if unmet else self._allowed(asked)
        add_vary(response, "Access-Control-Request-Method", "Access-Control-Request-Headers")
        return response

    @outbound
    def allow(self, request: Request, response: Response, call: CallContext) -> None:
        """Let the origin read the response."""
        settings, fields = self._settings, response.headers
        if not self._origins.everybody:
            add_vary(response, "Origin")
        origin = request.headers.get("origin")
        if origin is None or origin not in self._origins:
            return
        fields["access-control-allow-origin"] = "*" if self._origins.everybody else origin
        if settings.credentials:
            fields["access-control-allow-credentials"] = "true"
        if settings.expose:
            fields["access-control-expose-headers"] = ", ".join(settings.expose)

    def _unmet(self, origin: str, method: str, asked: list[str]) -> str:
        if origin not in self._origins:
            return f"origin {origin} is not among those that may ask"
        if method.upper() not in self._methods:
            return f"method {method} is not allowed"
        refused = [name for name in asked if name not in self._fields]
        if refused and "*" not in self._fields:
            return f"fields are not allowed: {', '.join(refused)}"
        return ""

    def _allowed(self, asked: list[str]) -> Response:
        response = Response(status=204)
        response.headers["access-control-allow-methods"] = ", ".join(self._settings.methods)
        if asked:
            response.headers["access-control-allow-headers"] = ", ".join(asked)
        response.headers["access-control-max-age"] = str(int(self._settings.max_age))
        return response
