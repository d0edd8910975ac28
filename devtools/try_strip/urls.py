"""The URLs of the hub, and those of the strip *Try*."""

from django.contrib import admin
from django.urls import path

from devtools.try_strip.views import try_view
from integration_hub.urls import urlpatterns as urls_of_the_hub

urlpatterns = [path("admin/try/<slug:step>/", admin.site.admin_view(try_view), name="try"), *urls_of_the_hub]
