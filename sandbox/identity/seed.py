"""The initial users, groups and files of the identity service."""

from typing import Any

_PEOPLE = (
    ("IDNUMBER1234", "anna.aalto", "Anna", "Aalto", "+358401234567", "fi"),
    ("5f2a9c0e7b1d4e8890aa0001", "mikko.virtanen", "Mikko", "Virtanen", "+358407654321", "fi"),
    ("5f2a9c0e7b1d4e8890aa0002", "grace.holloway", "Grace", "Holloway", "+447700900123", "en"),
    ("5f2a9c0e7b1d4e8890aa0003", "sofia.lindqvist", "Sofia", "Lindqvist", "+358451112223", "sv"),
    ("5f2a9c0e7b1d4e8890aa0004", "eero.makela", "Eero", "Mäkelä", "+358509876543", "fi"),
    ("5f2a9c0e7b1d4e8890aa0005", "noor.haddad", "Noor", "Haddad", "+447700900456", "en"),
    ("5f2a9c0e7b1d4e8890aa0006", "vaino.osterberg", "Väinö", "Österberg", "+358442223334", "fi"),
)

USERS: dict[str, dict[str, Any]] = {
    key: {
        "username": username,
        "name": {"givenName": given, "familyName": family},
        "emails": [{"address": f"{username}@example.com", "verified": True}],
        "mobiles": [{"number": mobile}],
        "memberOf": ["GROUPREGULARS"] if number < 3 else ["GROUPNEWSLETTER"],
        "locale": locale,
    }
    for number, (key, username, given, family, mobile, locale) in enumerate(_PEOPLE)
}

GROUPS: dict[str, dict[str, Any]] = {
    "GROUPREGULARS": {
        "name": "Regulars",
        "description": "Bought three times or more",
        "members": [person[0] for person in _PEOPLE[:3]],
    },
    "GROUPNEWSLETTER": {
        "name": "Newsletter readers",
        "description": "Asked for the monthly letter",
        "members": [person[0] for person in _PEOPLE[3:]],
    },
    "GROUPSTAFF": {"name": "Staff", "description": "Works in the shop", "members": []},
}

FILES: dict[str, dict[str, Any]] = {
    "FILETERMS2026": {
        "name": "Terms of sale 2026",
        "contentType": "application/pdf",
        "size": 184_320,
        "ownerId": "IDNUMBER1234",
        "url": "https://files.example.com/terms-2026.pdf",
    },
    "FILECATALOGUE": {
        "name": "Autumn catalogue",
        "contentType": "application/pdf",
        "size": 2_411_724,
        "ownerId": "5f2a9c0e7b1d4e8890aa0002",
        "url": "https://files.example.com/autumn.pdf",
    },
    "FILEPORTRAIT": {
        "name": "Portrait of Eero",
        "contentType": "image/jpeg",
        "size": 98_304,
        "ownerId": "5f2a9c0e7b1d4e8890aa0004",
        "url": "https://files.example.com/eero.jpg",
    },
}

SEEDS = {"users": USERS, "groups": GROUPS, "files": FILES}
