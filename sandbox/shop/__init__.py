"""How does a target system behave? Kauppa: customers, segments and documents behind a JSON API."""

from sandbox.shop.service import ShopService

__all__ = ["ShopService"]
