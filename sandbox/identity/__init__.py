"""How does an identity service behave? Aurora ID: users, groups and files, and webhooks when they change."""

from sandbox.identity.service import IdentityService

__all__ = ["IdentityService"]
