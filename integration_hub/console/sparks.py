"""A line of a day's hours as a small picture. It only repeats what figures beside it say, so nobody is read it."""

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString

_PICTURE = (
    '<svg class="spark" viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
    '<polyline class="line-{}" points="{}" vector-effect="non-scaling-stroke"/></svg>'
)


def beside(figure: str, picture: SafeString) -> SafeString:
    """Both on one line."""
    if not picture:
        return escape(figure)
    return format_html('<span class="with-spark"><span>{}</span> {}</span>', figure, picture)


def spark(points: str, style: str = "neutral") -> SafeString:
    """The picture of the points of `charts.line`; empty where there is no line."""
    return format_html(_PICTURE, style, points) if points else SafeString()
