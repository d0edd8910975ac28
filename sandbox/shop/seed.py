"""The initial records of the shop. Customer 4711 is the identity service's IDNUMBER1234."""

from typing import Any

FIRST_ID = 4711

CUSTOMERS: tuple[dict[str, Any], ...] = (
    {
        "external_id": "IDNUMBER1234",
        "email": "anna.aalto@example.com",
        "first_name": "Anna",
        "last_name": "Aalto",
        "phone": "+358401234567",
        "language": "fi",
        "segments": ["Regulars"],
    },
    {"email": "taken@example.com", "first_name": "Tuomas", "last_name": "Takala", "language": "fi"},
    {
        "external_id": "5f2a9c0e7b1d4e8890aa0001",
        "email": "mikko.virtanen@example.com",
        "first_name": "Mikko",
        "last_name": "Virtanen",
        "phone": "+358407654321",
        "language": "fi",
    },
    {"email": "grace.holloway@example.com", "first_name": "Grace", "last_name": "Holloway", "language": "en"},
    {
        "email": "old.orders@example.com",
        "first_name": "Kaarina",
        "last_name": "Lehtonen",
        "language": "fi",
        "active": False,
    },
)

SEGMENTS: tuple[dict[str, Any], ...] = (
    {"external_id": "GROUPREGULARS", "name": "Regulars", "description": "Bought three times or more"},
    {"name": "Newsletter", "description": "Asked for the monthly letter"},
)

DOCUMENTS: tuple[dict[str, Any], ...] = (
    {
        "external_id": "FILETERMS2026",
        "title": "Terms of sale 2026",
        "content_type": "application/pdf",
        "size": 184320,
        "url": "https://files.example.com/terms-2026.pdf",
        "owner": "IDNUMBER1234",
    },
)

SEEDS = {"customers": CUSTOMERS, "segments": SEGMENTS, "documents": DOCUMENTS}
