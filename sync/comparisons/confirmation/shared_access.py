"""Share the proof that other entities and records can be read between the subjects of a batch.

A proof costs a request or more, and holds for the moment: one is made for the first subject that needs it, and one more
after the last, so that a system which begins to hide everything in between proves nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from connectors.contracts.errors import Side
from connectors.contracts.types import Access
from sync.attempts.plan import Connectors

SIDES: tuple[Side, Side] = ("identity", "target")


@dataclass(slots=True)
class SharedAccess:
    """The access that was proven in a batch. `connectors`: the last ones that were used. `relied_on`: the sides whose
    earlier proof the present subject made use of. `is_entity_proven`: other entities can be read.
    """

    connectors: Connectors | None = None
    relied_on: frozenset[Side] = frozenset()
    is_entity_proven: bool = False
    _again: dict[Side, Callable[[], Access]] = field(default_factory=dict)
    _shared: set[Side] = field(default_factory=set)

    def begin_subject(self) -> None:
        """Forget what the subject before relied on."""
        self.relied_on, self.is_entity_proven = frozenset(), False

    def adapt(self, connectors: Connectors) -> Connectors:
        """Return connectors that ask for a proof only if there is none."""
        self.connectors = connectors
        identity, target = (
            _SharingConnector(connector, side, self)
            for connector, side in zip((connectors.identity, connectors.target), SIDES, strict=True)
        )
        return Connectors(cast(Any, identity), cast(Any, target))

    def prove(self, side: Side, check: Callable[[], Access]) -> Access:
        """Return the access to one side: that of the earlier proof, else that of a new one."""
        if side in self._again:
            self._shared.add(side)
            self.relied_on |= {side}
            access = Access.GRANTED
        elif (access := check()) == Access.GRANTED:
            self._again[side] = check
        if side == "identity":
            self.is_entity_proven = access == Access.GRANTED
        return access

    def find_refuted(self) -> frozenset[Side]:
        """Prove anew what several subjects relied on. Returns the sides of which the proof failed. Raises
        ConnectorError.
        """
        return frozenset(side for side in sorted(self._shared) if self._again[side]() != Access.GRANTED)


@dataclass(frozen=True, slots=True)
class _SharingConnector:
    """A connector of either side whose proof of access is shared. Everything else is as it is."""

    _connector: Any
    _side: Side
    _shared: SharedAccess

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connector, name)

    def check_access(self, entity_type: str, item_id: str, known_ids: Sequence[str]) -> Access:
        """As `IdentityConnector.check_access`."""
        return self._shared.prove(
            self._side, lambda: self._connector.check_access(entity_type, item_id, known_ids)
        )
