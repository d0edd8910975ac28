"""Does a test fail if a line of the product is wrong? See `__main__.py`."""
