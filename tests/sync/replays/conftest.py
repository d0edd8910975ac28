import pytest

from sync.models import ReplayPace
from sync.replays import batches


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pace is fast."""
    monkeypatch.setattr(batches, "EVENTS_PER_MINUTE", dict.fromkeys(ReplayPace, 60000))
