"""Connections to the remote systems at both ends."""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from config_schema.errors import SettingsInvalid
from config_schema.model_fields import FieldSetting
from connectors.address_check import refuse_forbidden_addresses
from connectors.registry import (
    CONNECTORS,
    find_credential_origins,
    list_caught_up_types,
    validate_connection,
)
from database.encryption.at_rest import CannotDecrypt, EncryptedJSONField
from webhooks.models.pausable import Pausable

# The reason of a pause by the hub: see `sync.operations.ids_changed`.
IDS_CHANGED = "ids-changed"
# Seconds that a lease must last beyond the deadline of the request that is about to be sent.
LEASE_MARGIN_SECONDS = 5.0


class ConnectionSide(models.TextChoices):
    """The end of the hub at which a system is."""

    IDENTITY = "identity", gettext_lazy("identity service")
    TARGET = "target", gettext_lazy("target system")


CONNECTION_SETTINGS: Mapping[str, FieldSetting] = {
    "slug": FieldSetting("The name of the connection in addresses and exports.", "acme-shop"),
    "name": FieldSetting(
        "The name that people use for the system. It appears in responses to the source.", "Acme shop"
    ),
    "side": FieldSetting("The role of the system: identity service or target.", "target"),
    "connector": FieldSetting(
        "The connector for this kind of system.",
        "rest-target",
        rules=("It must match `side`: `rest-identity` or `rest-target`.",),
    ),
    "is_enabled": FieldSetting(
        "If it is disabled, no request is sent to the system: deliveries fail (`connection-disabled`) and are retried. "
        "To let them wait instead, pause the connection.",
        True,
    ),
    "base_url": FieldSetting(
        "Scheme, host, port and path that every request begins with. `http` or `https`; no user name, query "
        "or fragment. A change of scheme, host or port removes the stored credentials, unless you enter new ones at "
        "the same time.",
        "https://shop.example.com/api",
    ),
    "authentication": FieldSetting(
        "How requests are authenticated. Credentials have their own fields.",
        {"scheme": "bearer"},
        page="authentication",
    ),
    "settings": FieldSetting(
        "The requests to the system.",
        {"entities": {"USER": {"path": "/users/{id}"}}},
        rules=("Secrets in headers and query parameters are refused: enter them as credentials.",),
    ),
    "deadline_seconds": FieldSetting(
        "The maximum duration of one request in seconds, from connecting to the last byte of the response.",
        10.0,
        rules=("It must be at least five seconds shorter than a lease (`LEASE_SECONDS`).",),
    ),
    "byte_cap": FieldSetting(
        "The maximum size of one response in bytes. A larger response is refused.", 1_048_576
    ),
    "relays_sentences": FieldSetting(
        "The system's own error message is passed on to the person who pressed Save in the identity service.",
        True,
    ),
    "concurrency": FieldSetting(
        "The number of deliveries that may use the system at the same time, over all processes. Empty: no limit.",
        4,
    ),
    "requests_per_second": FieldSetting(
        "The number of requests per second, over all processes. Empty: no limit.", 5.0
    ),
    "catch_up_minutes": FieldSetting(
        "The number of minutes after which the entities that changed are read again, of each type whose list has "
        "`modified_since`: their webhooks may have been lost. Deletions are not found. Empty: never; what was read is "
        "then forgotten.",
        15,
        rules=("It needs an identity service, and a list with `modified_since`.",),
    ),
    "breaker_failures": FieldSetting(
        "The number of failures after which nothing is sent until a check succeeds. Only failures of the system count, "
        "not those of one record, and each response subtracts two.",
        10,
    ),
    "breaker_seconds": FieldSetting(
        "The seconds until the first check of a failing system. Each further wait without a success in between is "
        "twice as long, up to ten minutes.",
        15,
    ),
}


class Connection(Pausable):
    """A configured remote system: its connector, address, credentials and limits."""

    # Never changes, so that the credentials can be encrypted before the row has a primary key.
    uuid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=120)
    # Information only: settings are never read through it. With a default of the database, because processes of 0.1.0
    # add connections while it is upgraded.
    preset = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="the preset that its settings were copied from",
    )
    side = models.CharField(max_length=12, choices=ConnectionSide)
    connector = models.CharField(
        max_length=32, choices=[(name, gettext_lazy(label)) for name, label in sorted(CONNECTORS.items())]
    )
    is_enabled = models.BooleanField(default=True)
    base_url = models.URLField(max_length=300)
    authentication = models.JSONField(default=dict)
    settings = models.JSONField(default=dict)
    credentials = EncryptedJSONField(null=True)
    deadline_seconds = models.FloatField(
        default=10.0,
        validators=[MinValueValidator(0.1), MaxValueValidator(30)],
    )
    byte_cap = models.PositiveIntegerField(
        default=1_048_576,
        validators=[MinValueValidator(1_024), MaxValueValidator(16_777_216)],
    )
    relays_sentences = models.BooleanField(default=False)
    concurrency = models.PositiveSmallIntegerField(
        "deliveries at once",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
    )
    requests_per_second = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.01), MaxValueValidator(10_000)],
    )
    catch_up_minutes = models.PositiveSmallIntegerField(
        "catch up every (minutes)",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(10_080)],
    )
    breaker_failures = models.PositiveSmallIntegerField(
        "stop sending after failures",
        default=10,
        validators=[MinValueValidator(1)],
    )
    breaker_seconds = models.PositiveIntegerField(
        "first check after (seconds)",
        default=15,
        validators=[MinValueValidator(1), MaxValueValidator(600)],
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["slug"]
        permissions = [
            ("test_connection", "Can test connections"),
            ("pause_connection", "Can pause and resume connections"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(deadline_seconds__gt=0, deadline_seconds__lte=30),
                name="connection_deadline",
            ),
            models.CheckConstraint(condition=models.Q(byte_cap__lte=16_777_216), name="connection_byte_cap"),
        ]

    def __str__(self) -> str:
        return self.name

    def secret_binding(self) -> Sequence[str]:
        """Bind the credentials to this row and to the origins that receive them: whoever changes one of these in the
        database sends them nowhere.
        """
        return ("connection", str(self.uuid), *find_credential_origins(self.base_url, self.authentication))

    def read_credentials(self) -> dict[str, Any] | None:
        """Return the stored credentials, empty without any; None if they cannot be decrypted."""
        try:
            return self.credentials or {}
        except CannotDecrypt:
            return None

    @property
    def has_changed_ids(self) -> bool:
        """True while the hub itself has paused it, because its ids seem to have changed."""
        return self.paused_at is not None and self.paused_by_id is None and self.pause_reason == IDS_CHANGED

    @staticmethod
    def longest_deadline_seconds() -> float:
        """Return the longest request timeout that still fits into a lease."""
        # The lease is renewed before each request, so only a single one has to fit, not a whole attempt.
        return float(django_settings.LEASE_SECONDS - LEASE_MARGIN_SECONDS)

    def clean(self) -> None:
        """Refuse settings that would fail at the first delivery."""
        # The name of a connector ends with its role: `rest-identity`, `rest-target`.
        if not self.connector.endswith(self.side):
            raise ValidationError(
                {
                    "connector": _("The connector does not fit the role: %(role)s.")
                    % {"role": self.get_side_display()}
                }
            )
        longest = self.longest_deadline_seconds()
        if self.deadline_seconds is not None and self.deadline_seconds > longest:
            # Another process would take a delivery over while its request is still on its way.
            sentence = _(
                "Enter at most %(longest)g seconds: a lease lasts %(lease)g seconds (set by LEASE_SECONDS), "
                "and must outlast each request by %(margin)g."
            )
            values = {
                "longest": longest,
                "lease": django_settings.LEASE_SECONDS,
                "margin": LEASE_MARGIN_SECONDS,
            }
            raise ValidationError({"deadline_seconds": sentence % values})
        try:
            validate_connection(self.connector, self.settings, self.authentication, self.base_url)
            refuse_forbidden_addresses(self.authentication, self.base_url)
        except SettingsInvalid as error:
            # The place begins with the name of the field.
            field, *place = error.place
            invalid = SettingsInvalid(tuple(place), error.sentence)
            raise ValidationError(
                {str(field): ValidationError("%(setting)s", params={"setting": invalid})}
            ) from error
        if self.catch_up_minutes is not None and not list_caught_up_types(self.connector, self.settings):
            sentence = _(
                "Changes can be caught up only with an identity service whose settings have a list with "
                "“modified_since”. Leave this empty."
            )
            raise ValidationError({"catch_up_minutes": sentence})


class Breaker(models.Model):
    """The circuit breaker of a connection. No row, or no `open_until`: closed, everything passes.

    Before `open_until` nothing passes; after it the breaker is half-open: one delivery at a time as a probe, one more
    with each success, until `successes` are enough to close it. Times are of the database's clock.

    `failures`, the largest of `purpose_failures`, counts while it is closed, `has_answered`, `successes` and
    `probe_failures` since the pause ended.
    """

    connection = models.OneToOneField(Connection, models.CASCADE, primary_key=True, related_name="breaker")
    failures = models.PositiveIntegerField(default=0, help_text="less two for each answer")
    purpose_failures = models.JSONField(default=dict, help_text="failures by purpose of the requests")
    openings = models.PositiveSmallIntegerField(default=0, help_text="pauses without a success between them")
    has_answered = models.BooleanField(default=False, help_text="any request since the pause ended")
    successes = models.PositiveSmallIntegerField(default=0, help_text="deliveries since the pause ended")
    probe_failures = models.PositiveIntegerField(default=0, help_text="deliveries since the pause ended")
    code = models.CharField(max_length=48, blank=True, help_text="the failure that opened it")
    status = models.PositiveSmallIntegerField(
        null=True, help_text="HTTP status of the response that opened it"
    )
    opened_at = models.DateTimeField(null=True, help_text="the first of these pauses began")
    open_until = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"breaker of {self.connection}"


class ConnectionTest(models.Model):
    """The newest test of a connection, one at a time; `ended_at` is empty while it runs.

    Steps: see `sync.operations.connection_tests`.
    """

    connection = models.OneToOneField(Connection, models.CASCADE, primary_key=True, related_name="test")
    begun_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    is_good = models.BooleanField(default=False)
    steps = models.JSONField(default=list)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"test of {self.connection}"


class LogInAttempt(models.Model):
    """The state of the log-ins with one set of credentials, for all processes. No row: none was refused.

    `key` is a keyed digest of the log-in request with its credentials, so that changed ones have another row. Until
    `busy_until` one process logs in; `refused_at`: the system refused these credentials, and they are not sent again.
    """

    key = models.CharField(max_length=64, primary_key=True)
    busy_until = models.DateTimeField(null=True)
    refused_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"log-in {self.key[:8]}"

    @staticmethod
    def digest_key(key: str) -> str:
        """Return the digest that a row stores for the key of a log-in."""
        # Keyed, so that nobody who reads the database can try passwords against it.
        return salted_hmac("sync.log_in", key, algorithm="sha256").hexdigest()


class RefreshedToken(models.Model):
    """The tokens that a system has issued in place of the refresh token of credentials, for all processes.

    `key` is a digest of the client and that refresh token, so that a new one begins a row of its own. Until
    `busy_until` one process refreshes. `tokens`: `connectors.auth.refresh_tokens.IssuedTokens`, once the system
    has replaced the token; `renewals`: how often it did.
    """

    key = models.CharField(max_length=64, primary_key=True)
    tokens = EncryptedJSONField(null=True)
    renewals = models.PositiveIntegerField(default=0)
    renewed_at = models.DateTimeField(null=True)
    busy_until = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"refresh token {self.key[:8]}"

    def secret_binding(self) -> Sequence[str]:
        """Bind the tokens to their key, which is a digest of the token endpoint, the client and its first token."""
        return "refreshed-token", self.key

    @staticmethod
    def digest_key(key: str) -> str:
        """Return the digest that a row stores for the key of a refresh token."""
        # Not keyed: the tokens must be found after a rotation of SECRET_KEY, because the system no longer accepts the
        # one in the credentials. Refresh tokens are random, so the token cannot be guessed from its digest.
        return hashlib.sha256(f"sync.refresh_token:{key}".encode()).hexdigest()
