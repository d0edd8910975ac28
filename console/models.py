"""Tables of the console: the preferences and the saved views of its users."""

from django.conf import settings
from django.db import models


class Preference(models.Model):
    """The preferences of one person. Without a row: times in the hub's zone, shortcuts on."""

    person = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="preference"
    )
    time_zone = models.CharField(
        max_length=64, blank=True, help_text="name in the IANA database; empty: the default"
    )
    has_shortcuts = models.BooleanField(default=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"preferences of {self.person}"


class SavedView(models.Model):
    """A filtered list of events under a name, a tab of one person or, shared, of everybody."""

    person = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    name = models.CharField(max_length=40)
    query = models.CharField(max_length=1000, blank=True, help_text="the filters as in the address")
    is_shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ()
        permissions = [("share_view", "Can share saved views of events")]
        constraints = [models.UniqueConstraint(fields=["person", "name"], name="view_name_once_a_person")]

    def __str__(self) -> str:
        return self.name
