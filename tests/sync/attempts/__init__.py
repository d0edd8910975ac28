"""Tests of what happens in one attempt, from fetch to settled."""
