"""The person on whose behalf a service acts, as audit entries name them."""

from dataclasses import dataclass

from django.contrib.auth.models import AbstractBaseUser

from audit.entries.actor_context import PERSON_PREFIX


@dataclass(frozen=True, slots=True)
class ActingPerson:
    """A person who decides or changes something, and their network address; "" if it is not known."""

    user: AbstractBaseUser
    address: str = ""

    @property
    def actor(self) -> str:
        """Name of the person in the audit log."""
        return f"{PERSON_PREFIX}{self.user.pk}"
