"""Aurora ID, the stand-in identity service: users, groups and files, and webhooks when they change."""

from sandbox.identity.service import IdentityService

__all__ = ["IdentityService"]
