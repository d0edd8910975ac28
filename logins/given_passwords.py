"""Passwords that another person set: whoever logs in with one has to choose another before anything else."""

from django.contrib.auth.models import User

from logins.models import GivenPassword


def mark_given_password(person: User) -> None:
    """Record that someone else knows the person's password. Without a usable one there is nothing to change."""
    if person.has_usable_password():
        GivenPassword.objects.get_or_create(person=person)
    else:
        forget_given_password(person)


def forget_given_password(person: User) -> None:
    """Record that the person chose the password."""
    GivenPassword.objects.filter(person=person).delete()


def has_given_password(person: User) -> bool:
    """True if someone else set the person's password."""
    return GivenPassword.objects.filter(person=person).exists()
