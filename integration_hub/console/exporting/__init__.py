"""The event history as evidence: chosen, written, proved and packed by a worker; asked for on the console."""
