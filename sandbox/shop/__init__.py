"""Kauppa, the stand-in commercial system: customers, segments and documents behind a JSON API."""

from sandbox.shop.service import ShopService

__all__ = ["ShopService"]
