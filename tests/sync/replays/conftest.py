import pytest

from sync.bulk_replay import sending
from sync.models import Pace


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pace is fast."""
    monkeypatch.setattr(sending, "PER_MINUTE", dict.fromkeys(Pace, 60000))
