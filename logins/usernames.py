"""A person's number keeps its name: the audit log stores the number, and pages show the username of the login.

No login is deleted, its username is fixed after the first login, and a username that was given up is never given to
another person. The username of a person who has left can be erased: `former-<number>` replaces it, and of the old one
only a keyed digest remains.
"""

import re
import unicodedata
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import ProtectedError
from django.db.models.signals import post_save, pre_delete, pre_save
from django.dispatch import receiver
from django.utils.translation import gettext as _

from logins.look_alikes import latin_look_alike
from logins.models import UsedUsername
from webhooks.models.subject_key_store import keyed_digest

# Of names that East Asian languages write with several scripts.
_WRITTEN_TOGETHER = (
    frozenset({"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA"}),
    frozenset({"CJK", "HANGUL"}),
    frozenset({"CJK", "BOPOMOFO"}),
)
# Signs such as “ª”, which are letters to Unicode.
_ALWAYS_ALLOWED = frozenset({"MODIFIER", "FEMININE", "MASCULINE"})
_ERASED = re.compile(r"former-\d+", re.IGNORECASE)


def erased_username(number: int) -> str:
    """Return what replaces the username of a person whose name is erased."""
    return f"former-{number}"


def why_not_username(username: str, number: int | None) -> str:
    """Return a sentence that says why the login with this number cannot have this username, or "" if it can.

    A new login has no number yet.
    """
    now = User.objects.filter(pk=number or 0).values("username", "last_login", "is_active").first()
    if now is not None and username == now["username"]:
        return ""
    is_erasure = now is not None and not now["is_active"] and username == erased_username(number or 0)
    if now is not None and now["last_login"] is not None and not is_erasure:
        return _(
            "The username cannot be changed after the first login: the audit log shows it. To erase it after the "
            "person has left, disable the login, then enter “%(name)s”."
        ) % {"name": erased_username(number or 0)}
    if _ERASED.fullmatch(username) and not is_erasure:
        return _("Usernames like “former-1” stand for people whose names were erased.")
    if has_mixed_scripts(username):
        return _("Use the letters of one script only: a letter of another one can look the same.")
    if UsedUsername.objects.filter(digest__in=_digests(username)).exclude(person_number=number or 0).exists():
        return _(
            "Another person has or had this username, or one that looks the same. It is never used again."
        )
    return ""


def has_mixed_scripts(username: str) -> bool:
    """True if the letters of a username belong to scripts that nobody writes in one word, as in “admin” with a
    Cyrillic first letter: it looks like the name of another person.
    """
    letters = filter(str.isalpha, unicodedata.normalize("NFKC", username))
    # The name of a letter begins with its script.
    scripts = {unicodedata.name(letter, "UNKNOWN").partition(" ")[0] for letter in letters}
    return len(scripts - _ALWAYS_ALLOWED) > 1 and not any(
        scripts <= together for together in _WRITTEN_TOGETHER
    )


@receiver(pre_save, sender=User)
def refuse_username(instance: User, raw: bool, update_fields: frozenset[str] | None, **_kwargs: Any) -> None:
    """Raise ValidationError instead of saving a username that this login cannot have."""
    if _saves_username(raw, update_fields) and (why_not := why_not_username(instance.username, instance.pk)):
        raise ValidationError({"username": why_not})


@receiver(post_save, sender=User)
def keep_digest(instance: User, raw: bool, update_fields: frozenset[str] | None, **_kwargs: Any) -> None:
    """Keep the username as used. One that was changed before the first login is free again."""
    if not _saves_username(raw, update_fields):
        return
    used, digests = UsedUsername.objects.filter(person_number=instance.pk), _digests(instance.username)
    if not used.filter(digest__in=digests).exists():
        if instance.last_login is None:
            used.delete()
        UsedUsername.objects.create(digest=digests[0], person_number=instance.pk)


@receiver(pre_delete, sender=User)
def refuse_deletion(instance: User, **_kwargs: Any) -> None:
    """Raise ProtectedError, before anything that belongs to the login is deleted."""
    raise ProtectedError("Logins are switched off, never deleted.", {instance})


def _saves_username(raw: bool, update_fields: frozenset[str] | None) -> bool:
    # A login saves its time only.
    return not raw and (update_fields is None or "username" in update_fields)


def _digests(username: str) -> tuple[str, str]:
    """Return the digests of a username in any case and spelling: as it looks, which is stored, and as it is written,
    which 0.1.0 stored.
    """
    written = unicodedata.normalize("NFKC", username)
    looks = latin_look_alike(written)
    return keyed_digest("username", looks.casefold()), keyed_digest("username", written.casefold())
