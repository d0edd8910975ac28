"""How are the packages wired into one Django project, and which commands run it?"""

__version__ = "0.1.0"
"""The release that this code belongs to: the newest heading of CHANGELOG.md with a number."""
