"""The remote systems at both ends."""

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from sync.connectors.registry import CONNECTORS, validate
from sync.connectors.settings import SettingsInvalid
from webhooks.encryption.at_rest import SealedJSONField


class Side(models.TextChoices):
    """Which end of the hub a system stands at."""

    IDENTITY = "identity", "identity service"
    COMMERCIAL = "commercial", "commercial system"


class Connection(models.Model):
    """A configured remote system: which connector speaks to it, where, as whom, within what limits."""

    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=120, help_text="as people call it; the sentences to the source use it")
    side = models.CharField(max_length=12, choices=Side)
    connector = models.CharField(max_length=32, choices=sorted(CONNECTORS.items()))
    is_enabled = models.BooleanField(default=True)
    base_url = models.URLField(
        max_length=300, help_text="scheme, host, port and path that every request begins with"
    )
    authentication = models.JSONField(default=dict, help_text='{"scheme": "bearer"}')
    settings = models.JSONField(default=dict)
    credentials = SealedJSONField(null=True)
    deadline_seconds = models.FloatField(
        default=10.0,
        validators=[MinValueValidator(0.1), MaxValueValidator(30)],
        help_text="for one exchange from connect to the last byte",
    )
    byte_cap = models.PositiveIntegerField(
        default=1_048_576,
        validators=[MinValueValidator(1_024), MaxValueValidator(16_777_216)],
        help_text="bytes read of one answer",
    )
    relays_sentences = models.BooleanField(
        default=False, help_text="The remote system's own sentence is shown to the person who pressed Save"
    )
    concurrency = models.PositiveSmallIntegerField(
        "deliveries at once",
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(1000)],
        help_text="over all processes; empty: as many as there are threads",
    )
    requests_per_second = models.FloatField(
        null=True,
        blank=True,
        validators=[MinValueValidator(0.01), MaxValueValidator(10_000)],
        help_text="over all processes; empty: no limit",
    )
    breaker_failures = models.PositiveSmallIntegerField(
        "failures before a pause",
        default=5,
        validators=[MinValueValidator(1)],
        help_text="of the system itself, one after the other; never those of one record",
    )
    breaker_seconds = models.PositiveIntegerField(
        "first pause",
        default=15,
        validators=[MinValueValidator(1), MaxValueValidator(600)],
        help_text="seconds; doubled with each pause that follows at once, up to ten minutes",
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["slug"]
        permissions = [("test_connection", "Can test connections")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(deadline_seconds__gt=0, deadline_seconds__lte=30),
                name="connection_deadline",
            ),
            models.CheckConstraint(condition=models.Q(byte_cap__lte=16_777_216), name="connection_byte_cap"),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Settings that would fail at the first delivery are refused when they are saved."""
        if not self.connector.endswith(self.side):
            raise ValidationError(
                {"connector": f"{self.connector} does not speak to an {self.get_side_display()}."}
            )
        try:
            validate(self.connector, self.settings, self.authentication, self.base_url)
        except SettingsInvalid as error:
            raise ValidationError(f"{error.pointer or '/'}: {error.sentence}") from error
