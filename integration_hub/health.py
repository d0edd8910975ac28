"""`GET /health`: whether the hub can store and what waits, for a load balancer and for people."""

from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, JsonResponse

from sync.claiming import due, expired


def health(_: HttpRequest) -> JsonResponse:
    """200 while the database answers, 503 otherwise. Counts are bounded at 1,000."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        waiting = {"due": due()[:1000].count(), "expired": expired()[:1000].count()}
    except DatabaseError:
        return JsonResponse({"status": "storage-unavailable"}, status=503)
    return JsonResponse({"status": "ok"} | waiting)
