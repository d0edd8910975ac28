"""`GET /live` and `GET /ready`: whether this process answers, and whether it should get requests."""

from django.conf import settings
from django.core.management.base import CommandError
from django.db import Error as DatabaseError
from django.http import HttpRequest, HttpResponse

from database.clock import read_clock
from database.encryption.at_rest import CannotDecrypt, decrypt
from database.move_marker import read_move
from database.response_limit import limited_responses
from integration_hub.probes.answers import format_status
from integration_hub.schema_version import check_schema
from webhooks.models import Pepper
from webhooks.receiving.answers import Answer
from webhooks.views import AnswerResponse, to_http_response


def show_live(request: HttpRequest) -> HttpResponse:
    """Return 200, without a look at anything. The hub's own web server answers before Django does."""
    return _to_response()


def show_ready(request: HttpRequest) -> HttpResponse:
    """Return 200 if this process can store and deliver webhooks, otherwise 503 with a word that says why."""
    with limited_responses(settings.RESPONSE_SECONDS):
        return _to_response(find_unready_reason())


def find_unready_reason() -> str:
    """Return why this process should get no requests; empty if it should. At most four statements.

    `database`: it does not respond. `maintenance`: the hub is moved to another database. `schema`: the database has
    none, or that of another version, or a restore has not ended. `keys`: this process cannot decrypt what is stored.
    """
    try:
        read_clock()
        if read_move() is not None:
            return "maintenance"
    except DatabaseError:
        return "database"
    try:
        check_schema()
        return "" if can_decrypt() else "keys"
    except (CommandError, DatabaseError):
        # It has just responded, so a table is missing.
        return "schema"


def can_decrypt() -> bool:
    """Return True if this process can decrypt stored data. Tried with the pepper, which every hub has encrypted."""
    try:
        for encrypted in Pepper.objects.values_list("encrypted", flat=True):
            decrypt(bytes(encrypted))
    except CannotDecrypt:
        return False
    return True


def _to_response(unready_reason: str = "") -> AnswerResponse:
    status = 503 if unready_reason else 200
    answer = Answer(status, format_status(unready_reason), unready_reason, media_type="application/json")
    return to_http_response(answer)
