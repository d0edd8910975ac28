"""Rendering of HTML pages: templates, security headers, and the check against forms of other sites."""

from pathlib import Path
from urllib.parse import urlsplit

from django.template import Context, Engine

from sandbox.faults.rules import FaultSwitches
from sandbox.http.messages import HTML, HttpError, Request, Response

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; script-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_TEMPLATE_ENGINE = Engine(dirs=[str(Path(__file__).parents[1] / "templates")], autoescape=True)


class PageRenderer:
    """The templates of one service, rendered with its navigation and with a banner while a fault is active."""

    def __init__(self, title: str, navigation: tuple[tuple[str, str], ...], faults: FaultSwitches) -> None:
        self._title = title
        self._navigation = navigation
        self._faults = faults

    def render_page(
        self, request: Request, template: str, heading: str, status: int = 200, **values: object
    ) -> Response:
        """Return a page: ``template`` with ``values``, under ``heading``."""
        context = Context(
            {
                "service": self._title,
                "heading": heading,
                "navigation": self._build_navigation(request.path),
                "active_faults": self._faults.list_active(),
                "here": request.path,
                **values,
            },
            use_l10n=False,
            use_tz=False,
        )
        body = _TEMPLATE_ENGINE.get_template(template).render(context).encode()
        return Response(status, body, HTML, _HEADERS)

    def render_error(self, request: Request, error: HttpError) -> Response:
        """Return an error as a page."""
        heading = "Not found" if error.status == 404 else "That did not work"
        return self.render_page(request, "problem.html", heading, error.status, sentence=error.message)

    def reject_cross_site_write(self, request: Request) -> None:
        """Raise HttpError (403) for a write that a page of another site made a browser send.

        A client that is not a browser sends neither of the checked headers, and is accepted.
        """
        if not request.is_write:
            return
        origin = request.get_header("Origin")
        is_foreign = bool(origin) and urlsplit(origin).netloc != request.get_header("Host")
        if is_foreign or request.get_header("Sec-Fetch-Site") not in {"", "same-origin", "none"}:
            raise HttpError(403, "This form was sent from another site.")

    def _build_navigation(self, path: str) -> list[dict[str, object]]:
        return [
            {"path": link, "name": name, "here": path == link or path.startswith(link + "/")}
            for link, name in self._navigation
        ]
