"""Tables of logins: failed attempts by the hour, addresses that a person uses, used usernames, and since when who may
decide with another person.
"""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class FailedLogins(models.Model):
    """The failed logins of one account, address and hour. A row is a sum, so that a flood of attempts adds few rows."""

    # Not a foreign key: the count of a deleted account stays.
    person_number = models.BigIntegerField(help_text="0: a username that no account has")
    address = models.CharField(
        max_length=45, blank=True, help_text="an IPv4 address or an IPv6 network; empty: further addresses"
    )
    hour = models.DateTimeField(help_text="when the hour began")
    wrong = models.PositiveIntegerField(default=0, help_text="passwords that were checked and wrong")
    refused = models.PositiveIntegerField(default=0, help_text="passwords that a limit left unchecked")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    is_reported = models.BooleanField(default=False, help_text="the sum is on the audit log")

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["hour", "person_number", "address"], name="one_sum_an_hour"),
        ]
        indexes = [
            models.Index(fields=["hour"], condition=models.Q(is_reported=False), name="logins_to_report"),
        ]

    def __str__(self) -> str:
        return f"{self.times} failed logins of person {self.person_number} from {self.address or 'others'}"

    @property
    def times(self) -> int:
        """Return the number of attempts: wrong passwords, and those that were not checked."""
        return self.wrong + self.refused


class KnownAddress(models.Model):
    """An address from which a person has logged in. Its attempts have a limit of their own."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    address = models.CharField(max_length=45)
    last_at = models.DateTimeField(help_text="of the last login, or when an administrator allowed it")

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["person", "address"], name="known_address_once"),
        ]

    def __str__(self) -> str:
        return self.address


class UsedUsername(models.Model):
    """A username that a login has or had, as a digest that is useless without the pepper: nobody else gets it."""

    digest = models.CharField(max_length=24, unique=True)
    # Not a foreign key: the name of a deleted account stays.
    person_number = models.BigIntegerField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"a username of person {self.person_number}"


class HeldPermission(models.Model):
    """Since when a person has held, without a gap, a permission to decide what another person requested."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    permission = models.CharField(max_length=100, help_text="app.codename")
    since = models.DateTimeField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["person", "permission"], name="held_permission_once")]

    def __str__(self) -> str:
        return f"{self.permission} since {self.since}"


class GivenPassword(models.Model):
    """A person whose password someone else set, and who has not chosen another since."""

    person = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="+"
    )

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"given to person {self.person_id}"


class AccessRequestState(models.TextChoices):
    """The progress of a request for access."""

    OPEN = "open", _("waiting for a second person")
    APPROVED = "approved", _("approved")
    REFUSED = "refused", _("rejected or withdrawn")
    USED = "used", _("approved and carried out")


class AccessChange(models.TextChoices):
    """What a request for access changes."""

    GIVE = "give", _("give access")
    TAKE_ROLE = "take-role", _("take a role")
    DISABLE = "disable", _("disable a login")
    CLOSE = "close", _("close the console")
    PASSWORD = "password", _("set a password")


class AccessRequest(models.Model):
    """A request that needs a second person: to give a person a role, or a role permissions, with more permissions than
    the requester has; to take from a person the right to read the audit log; or to set the password of such a person,
    which the requester does after the approval (`used`).

    A second person decides within a week. `permissions` is empty if the person gets the role.
    """

    change = models.CharField(max_length=10, choices=AccessChange, default=AccessChange.GIVE)
    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    role = models.ForeignKey("auth.Group", models.SET_NULL, null=True, related_name="+")
    role_name = models.CharField(max_length=150, blank=True, help_text="when it was requested")
    permissions = models.JSONField(default=list, help_text="what the role gets: app.codename")
    reason = models.CharField(max_length=500, blank=True, help_text="of a request that takes access")
    state = models.CharField(max_length=10, choices=AccessRequestState, default=AccessRequestState.OPEN)
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = "access request"
        default_permissions = ()
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(state="approved") | ~models.Q(decided_by=models.F("requested_by")),
                name="a_second_person_gives_access",
            ),
        ]
        indexes = [
            models.Index(
                fields=["requested_at"], condition=models.Q(state="open"), name="open_access_requests"
            ),
        ]

    def __str__(self) -> str:
        return f"access request {self.pk}"

    @property
    def stream(self) -> str:
        """Return the stream of the audit log that has what happened to the person or the role."""
        return f"person:{self.person_id}" if self.person_id else f"setting:group:{self.role_id}"
