"""Accounts of the CPU time of one webhook."""
