"""One path a view."""

from django.urls import path

from tests.bench.naive.views import errand, insert, nothing

urlpatterns = [
    path("nothing", nothing),
    path("insert", insert),
    path("errand", errand),
    path("health", nothing),
]
