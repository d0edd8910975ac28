"""Tests of how a web process reads requests and refuses what is no valid HTTP."""
