"""Tests of the encryption of secrets and personal bytes at rest."""
