"""A clock that tests of login limits move, and a fast hasher that notes when a password is hashed."""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.contrib.auth.hashers import MD5PasswordHasher
from django.db.models import DateTimeField, Value


class LoginClock:
    """The time of the database and of the process, as the limits of logins see it."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
        self.hashed_at: list[datetime] = []

    def move(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def database_now(self, **_: Any) -> Any:
        return Value(self.now, DateTimeField())

    def most_hashes_in_a_second(self) -> int:
        second = timedelta(seconds=1)
        windows = [[at for at in self.hashed_at if begin <= at < begin + second] for begin in self.hashed_at]
        return max(map(len, windows), default=0)


class NotingHasher(MD5PasswordHasher):
    """A fast hasher that notes the time of each hash on the clock of the test."""

    clock: ClassVar[LoginClock | None] = None

    def encode(self, password: str, salt: str) -> str:
        if NotingHasher.clock is not None:
            NotingHasher.clock.hashed_at.append(NotingHasher.clock.now)
        return super().encode(password, salt)
