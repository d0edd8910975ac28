"""Sources: senders of webhooks, how they are verified and how they are answered."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from config_schema.errors import SettingsInvalid
from config_schema.kinds import AnyTextList, ValueKind
from config_schema.model_fields import FieldSetting, find_invalid_setting
from database.encryption.at_rest import EncryptedJSONField, NotAuthentic
from webhooks.models.pausable import Pausable
from webhooks.protocol import challenge_hmac
from webhooks.protocol.formats.webhook_format import DEFAULT_FORMAT, WebhookFormat
from webhooks.protocol.handshake import CACHED_HANDSHAKES, HANDSHAKE, OriginHandshake, signs_for_anyone
from webhooks.protocol.schemes import (
    POLLED,
    SCHEMES,
    UNVERIFIED_SCHEMES,
    check_secret,
    check_settings,
    has_secret,
    needs_form,
    needs_public_url,
    signs_same_text_of_empty_bodies,
    signs_time_or_id,
)
from webhooks.protocol.strict_form import FORM_TYPE
from webhooks.protocol.verification_result import TIMESTAMP_TOLERANCE, LiveSecret
from webhooks.responses.response_format import RESPONSE_FORMAT

if TYPE_CHECKING:
    from webhooks.models.capture import CaptureWindow


def _invalid_setting(name: str, sentence: str) -> ValidationError:
    return ValidationError("%(setting)s", params={"setting": SettingsInvalid((name,), sentence)})


class AnswerMode(models.TextChoices):
    """The content of an answer to a source."""

    ACK = "ack", _("an immediate acknowledgement")
    RESULT = "result", _("the outcome")
    ENTITY = "entity", _("the outcome and the entity")


SOURCE_SETTINGS: Mapping[str, FieldSetting] = {
    "slug": FieldSetting(
        "The last part of the address that the source sends to: `/webhooks/SLUG`.", "acme-webhooks"
    ),
    "name": FieldSetting("The name that people use for the source.", "Acme webhooks"),
    "is_enabled": FieldSetting(
        "If it is disabled, all webhooks of the source are refused (`410`). To store them meanwhile, pause the "
        "source instead.",
        True,
    ),
    "scheme": FieldSetting(
        "How the hub verifies who sent a webhook.", "standard-webhooks", page="verification"
    ),
    "scheme_settings": FieldSetting(
        "The settings of the verification.",
        {"header": "X-Hub-Signature-256", "prefix": "sha256="},
        page="verification",
    ),
    "handshake": FieldSetting(
        "How the hub answers a sender that first verifies the address: it returns the challenge. Leave empty unless "
        "the sender requires it: most handshakes are not verified, so the hub answers anyone.",
        {"from": "header", "name": "x-okta-verification-challenge"},
        HANDSHAKE,
    ),
    "extra_id_characters": FieldSetting(
        "The characters among `:@|+=` that ids of this source contain, in addition to letters, digits, `.`, `_`, `~` "
        "and `-`.",
        ":@",
    ),
    "webhook_format": FieldSetting(
        "How events are read from the sender's requests. Leave empty if the sender uses the hub's own fields.",
        {"event_types": {"MODIFIED": "UPDATE"}},
        page="webhook-format",
    ),
    "default_mode": FieldSetting(
        "The answer to a webhook without `respond`: an acknowledgement at once, the outcome, or the outcome "
        "and the entity.",
        "result",
        rules=("`entity` needs a signed source and at least one entry in `entity_fields`.",),
    ),
    "mode_is_fixed": FieldSetting(
        "The response above is used even if a webhook asks for another one.", False
    ),
    "wait_seconds": FieldSetting(
        "How many seconds a response may wait for the outcome, 0 to 30. After that it says that the event was accepted "
        "(`202`).",
        10.0,
    ),
    "entity_fields": FieldSetting(
        "The fields of the entity that the source may see in responses. `*` means all of them. Empty: none.",
        ["id", "emails"],
        AnyTextList(),
    ),
    "response_format": FieldSetting(
        "The format of the answers to the source, for a sender that expects a particular one. Leave empty for the "
        "standard one: `problem+json` (RFC 9457).",
        {"format": "kratos"},
        RESPONSE_FORMAT,
    ),
    "requests_per_minute": FieldSetting(
        "The number of requests a minute that the source may send. Further requests are refused (`429`) with "
        "the time to retry. Empty: no limit.",
        600,
    ),
    "silence_minutes": FieldSetting(
        "After how many minutes without a webhook an alarm is raised. Empty: never.", 1440
    ),
}


# Of a new source: well above what identity services send, and far below what would keep a hub busy.
DEFAULT_REQUESTS_PER_MINUTE = 6_000


class Source(Pausable):
    """A configured sender of webhooks. Its slug is part of the URL that it posts to."""

    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=120)
    is_enabled = models.BooleanField(default=True)
    scheme = models.CharField(
        "verification", max_length=32, choices=[(name, _(scheme.label)) for name, scheme in SCHEMES.items()]
    )
    scheme_settings = models.JSONField(default=dict, blank=True)
    handshake = models.JSONField(default=dict, blank=True)
    extra_id_characters = models.CharField(
        max_length=6,
        blank=True,
        validators=[RegexValidator(r"\A[:@|+=]*\Z", _("Only the characters : @ | + = can be added."))],
    )
    webhook_format = models.JSONField(
        default=dict,
        blank=True,
    )
    default_mode = models.CharField(max_length=8, choices=AnswerMode, default=AnswerMode.RESULT)
    mode_is_fixed = models.BooleanField(default=False)
    wait_seconds = models.FloatField(
        default=10.0,
        validators=[MinValueValidator(0), MaxValueValidator(30)],
    )
    entity_fields = models.JSONField(
        default=list,
        blank=True,
    )
    response_format = models.JSONField(default=dict, blank=True)
    requests_per_minute = models.PositiveIntegerField(
        default=DEFAULT_REQUESTS_PER_MINUTE,
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
    )
    silence_minutes = models.PositiveIntegerField(
        "silence",
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(wait_seconds__gte=0, wait_seconds__lte=30),
                name="source_wait_within_bounds",
            )
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Raise ValidationError for settings that would fail at the first webhook."""
        errors: dict[str, Any] = {}
        try:
            check_settings(self.scheme, self.scheme_settings)
            if not settings.PUBLIC_URL and needs_public_url(self.scheme, self.scheme_settings):
                raise SettingsInvalid(("signed",), "{url} needs the address of the hub: set PUBLIC_URL.")
        except SettingsInvalid as invalid:
            errors["scheme_settings"] = ValidationError("%(setting)s", params={"setting": invalid})
        except ValueError as error:
            errors["scheme_settings"] = str(error)
        documents: dict[str, ValueKind[Any]] = {
            "webhook_format": WebhookFormat.kind,
            "response_format": RESPONSE_FORMAT,
        }
        if self.handshake != {}:
            documents["handshake"] = HANDSHAKE
        for name, kind in documents.items():
            if fault := find_invalid_setting(kind, getattr(self, name)):
                errors[name] = ValidationError("%(setting)s", params={"setting": fault})
        if not errors:
            errors |= self._find_unsuitable_format() or self._find_unsuitable_handshake()
        if not SOURCE_SETTINGS["entity_fields"].accepts(self.entity_fields):
            errors["entity_fields"] = _("Enter a JSON list of field names.")
        # Anyone can send to a source that is not signed, and would get the entity as the answer.
        elif self.default_mode == AnswerMode.ENTITY and not (self.is_signed and self.entity_fields):
            errors["default_mode"] = _(
                "Only a signed source with entity fields in responses can receive the entity."
            )
        if self.is_polled and self.silence_minutes is not None:
            errors["silence_minutes"] = _(
                "A polled source sends nothing: the alarm “catch-up late” replaces this one. Leave it empty."
            )
        if not errors:
            errors = self._find_unprotected_route()
        if errors:
            raise ValidationError(errors)

    def _find_unprotected_route(self) -> dict[str, ValidationError]:
        """Return the error of the verification or the webhook format if an enabled route needs another one."""
        # Routes are declared by `sync`, which this package does not import.
        routes = Source.objects.filter(pk=self.pk, routes__relays=True, routes__is_enabled=True)
        # A source that has become impossible can still be disabled.
        if self.pk is None or not self.is_enabled or self.may_be_relayed or not routes.exists():
            return {}
        sentence = _(
            "An enabled route uses the data of this source’s webhooks, so what is sent again must be recognized: "
            "the signature covers a time or an id, or the body gives each event its time (“occurred_at”)."
        )
        return {"webhook_format" if self.is_signed else "scheme": ValidationError(sentence)}

    def _find_unsuitable_format(self) -> dict[str, ValidationError]:
        """Return the error of the webhook format or the verification if they do not fit together."""
        webhook_format = WebhookFormat.kind.read(self.webhook_format, ())
        if webhook_format.content_types != {FORM_TYPE} and needs_form(self.scheme, self.scheme_settings):
            sentence = "{fields} needs a webhook format that accepts only forms, in content_types."
            return {"scheme_settings": _invalid_setting("signed", sentence)}
        if webhook_format.allows_empty_body and signs_same_text_of_empty_bodies(
            self.scheme, self.scheme_settings
        ):
            sentence = (
                "All empty bodies have the same signature: anyone who has seen one could forge the headers."
            )
            return {"webhook_format": _invalid_setting("allow_empty_body", sentence)}
        return {}

    def _find_unsuitable_handshake(self) -> dict[str, ValidationError]:
        """Return the error of the handshake or the webhook format if the HMAC of a challenge does not fit them."""
        handshake = HANDSHAKE.read(self.handshake, ()) if self.handshake else None
        if handshake is None or isinstance(handshake, OriginHandshake) or handshake.hmac is None:
            return {}
        if self.scheme not in challenge_hmac.SCHEMES:
            sentence = "An HMAC needs a verification by an HMAC, whose secret is its key."
            return {"handshake": _invalid_setting("hmac", sentence)}
        if not signs_for_anyone(handshake):
            return {}
        webhook_format = WebhookFormat.kind.read(self.webhook_format, ())
        sentence = (
            "The handshake gives anyone the HMAC of short texts. A form or an empty body could be such a text, so that "
            "anyone could sign it: accept only JSON, or set “verified” if the sender signs its handshake."
        )
        if webhook_format.allows_empty_body:
            return {"webhook_format": _invalid_setting("allow_empty_body", sentence)}
        if FORM_TYPE in webhook_format.content_types:
            return {"webhook_format": _invalid_setting("content_types", sentence)}
        return {}

    @property
    def signs_challenges_of_anyone(self) -> bool:
        """True if anyone can get an HMAC with the secret of this source, by its handshake."""
        try:
            return signs_for_anyone(CACHED_HANDSHAKES.read(self.handshake))
        except SettingsInvalid:
            return False

    @cached_property
    def parsed_format(self) -> WebhookFormat:
        """The webhook format, parsed once for each object of a source. Raises SettingsInvalid."""
        return WebhookFormat.kind.read(self.webhook_format, ()) if self.webhook_format else DEFAULT_FORMAT

    @property
    def is_signed(self) -> bool:
        """True if webhooks of this source are verified. Data of an unsigned webhook is only a hint."""
        return self.scheme not in UNVERIFIED_SCHEMES

    @property
    def is_polled(self) -> bool:
        """True if the source sends nothing: catch-ups of identity connections make its events."""
        return self.scheme == POLLED

    @cached_property
    def open_window(self) -> "CaptureWindow | None":
        """The capture window of this source when it was first asked for, even one whose time is over; None without one.
        A query, unless the source was loaded with `capture_window`.
        """
        window: CaptureWindow | None = getattr(self, "capture_window", None)
        return window

    @property
    def may_be_relayed(self) -> bool:
        """True if routes may use the data of this source's webhooks: a captured webhook that is sent again is
        recognized, because a time or an id is signed, or because the body gives each event its time.
        """
        if signs_time_or_id(self.scheme, self.scheme_settings):
            return True
        try:
            webhook_format = WebhookFormat.kind.read(self.webhook_format, ())
        except SettingsInvalid:
            return False
        return self.is_signed and webhook_format.reads_body_alone("occurred_at")

    @property
    def signature_window(self) -> timedelta:
        """Return the maximum age of a signed time: a captured request is refused once it is older."""
        seconds = self.scheme_settings.get("window") if self.scheme == "hmac" else None
        return TIMESTAMP_TOLERANCE if seconds is None else timedelta(seconds=seconds)

    @property
    def needs_secret(self) -> bool:
        """True if webhooks are verified with a secret: not with the sender's public key."""
        return has_secret(self.scheme, self.scheme_settings)

    def live_secrets(self, at: datetime) -> "list[SourceSecret]":
        """Return the secrets that verify a webhook at this time, oldest first.

        Raises CannotDecrypt if the key of one of them is missing. Expired secrets are not decrypted.
        """
        # A secret of an earlier scheme proves nothing: a public key must not count as a password.
        return [secret for secret in self.secrets.all() if secret.is_live(at) and secret.fits_scheme]

    @property
    def jwks_url(self) -> str:
        """The address of the sender's keys, "" if the hub fetches none."""
        return str(self.scheme_settings.get("jwks_url", "")) if self.scheme == "jwt" else ""


class SourceSecret(models.Model):
    """One live or former secret of a source. Write-only: the console shows its age and last four characters."""

    # Never changes, so that the value can be encrypted before the row has a primary key.
    uuid = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    source = models.ForeignKey(Source, models.CASCADE, related_name="secrets")
    value = EncryptedJSONField()
    hint = models.CharField(max_length=8, help_text="the last characters, to tell two secrets apart")
    created_at = models.DateTimeField(auto_now_add=True)
    ends_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"…{self.hint}"

    def secret_binding(self) -> Sequence[str]:
        """Bind the secret to this row, its source, and the scheme that it verifies with. Reads the source if it is not
        loaded.
        """
        return "source-secret", str(self.uuid), str(self.source_id), self.source.scheme

    def is_live(self, at: datetime) -> bool:
        return self.ends_at is None or self.ends_at > at

    @cached_property
    def as_live_secret(self) -> LiveSecret:
        """The number and the value, as `verify_signature` takes them, decrypted once. Raises CannotDecrypt."""
        return LiveSecret(self.pk, self.value)

    @cached_property
    def fits_scheme(self) -> bool:
        """True if the secret is valid for its source's current scheme: a public key, for example, is not a password.

        False if it was entered for another source or scheme, and only its row was changed since. Raises CannotDecrypt
        if its key is missing.
        """
        if not self.source.needs_secret:
            return False
        try:
            check_secret(self.source.scheme, self.value, self.source.scheme_settings)
        except (ValueError, NotAuthentic):
            return False
        return True
