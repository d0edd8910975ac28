"""The pages people look at: templates, headers that keep a browser in bounds, and the check against foreign
forms.
"""

from pathlib import Path
from urllib.parse import urlsplit

from django.template import Context, Engine

from sandbox.faults.rules import Faults
from sandbox.http.messages import HTML, Answer, Problem, Request

POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; script-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_ENGINE = Engine(dirs=[str(Path(__file__).parents[1] / "templates")], autoescape=True)


class Pages:
    """Renders the templates of one service, each with its navigation and a banner while a fault is on."""

    def __init__(self, title: str, navigation: tuple[tuple[str, str], ...], faults: Faults) -> None:
        self._title = title
        self._navigation = navigation
        self._faults = faults

    def render(
        self, request: Request, template: str, heading: str, status: int = 200, **values: object
    ) -> Answer:
        context = Context(
            {
                "service": self._title,
                "heading": heading,
                "navigation": self._links(request.path),
                "active_faults": self._faults.active(),
                "here": request.path,
                **values,
            },
            use_l10n=False,
            use_tz=False,
        )
        body = _ENGINE.get_template(template).render(context).encode()
        return Answer(status, body, HTML, _HEADERS)

    def problem(self, request: Request, problem: Problem) -> Answer:
        heading = "Not found" if problem.status == 404 else "That did not work"
        return self.render(request, "problem.html", heading, problem.status, sentence=problem.sentence)

    def refuse_foreign(self, request: Request) -> None:
        """Refuses a write that another site's page makes a browser send.

        Raises Problem (403). A client that is no browser sends neither header and passes.
        """
        if not request.is_write:
            return
        origin = request.header("Origin")
        foreign = bool(origin) and urlsplit(origin).netloc != request.header("Host")
        if foreign or request.header("Sec-Fetch-Site") not in {"", "same-origin", "none"}:
            raise Problem(403, "This form was sent from another site.")

    def _links(self, path: str) -> list[dict[str, object]]:
        return [
            {"path": link, "name": name, "here": path == link or path.startswith(link + "/")}
            for link, name in self._navigation
        ]
