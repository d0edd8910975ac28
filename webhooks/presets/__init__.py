"""Which settings do sources of known senders need? Data to copy, with a recorded request of each. Pure."""
