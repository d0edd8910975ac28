import pytest

from sync.models import ReplayPace
from sync.replays import batches


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every pace of replays fast."""
    monkeypatch.setattr(batches, "EVENTS_PER_MINUTE", dict.fromkeys(ReplayPace, 60000))
