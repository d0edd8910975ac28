"""Decides who may send a large body: a source whose format accepts one, and a person who is logged in."""

from http.cookies import CookieError, SimpleCookie
from importlib import import_module

from django.conf import settings
from django.contrib.auth import SESSION_KEY

from config_schema.errors import SettingsInvalid
from database.connection import release_connection
from database.response_limit import limited_responses
from integration_hub.web_server.request_reader import ADMIN_PATH, WEBHOOK_PATH, BodySender
from webhooks.protocol.formats.webhook_format import DEFAULT_MAX_BODY_BYTES
from webhooks.receiving.source_cache import find_source


def may_send_large_body(sender: BodySender) -> bool:
    """True if the hub would read a large body of this sender. Reads the database. Not a proof of who sends it."""
    try:
        with limited_responses(settings.RESPONSE_SECONDS):
            if sender.path.startswith(ADMIN_PATH):
                return _is_logged_in(sender.cookies)
            return _accepts_large_bodies(sender.path.removeprefix(WEBHOOK_PATH).rstrip("/"))
    finally:
        release_connection()


def _is_logged_in(cookies: str) -> bool:
    try:
        cookie = SimpleCookie(cookies).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return False
    if cookie is None:
        return False
    session = import_module(settings.SESSION_ENGINE).SessionStore(cookie.value)
    return SESSION_KEY in session


def _accepts_large_bodies(slug: str) -> bool:
    source = find_source(slug)
    if source is None or not source.is_enabled:
        return False
    try:
        return source.parsed_format.max_bytes > DEFAULT_MAX_BODY_BYTES
    except SettingsInvalid:
        return False
