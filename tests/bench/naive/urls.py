"""One path for each view."""

from django.urls import path

from tests.bench.naive.plain import PlainView
from tests.bench.naive.views import insert, nothing, pooled

urlpatterns = [
    path("nothing", nothing),
    path("insert", insert),
    path("plain", PlainView.as_view()),
    path("pooled", pooled),
    path("health", nothing),
]
