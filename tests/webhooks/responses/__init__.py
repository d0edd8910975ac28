"""Answers in the formats of other senders."""
