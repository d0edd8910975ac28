"""Does the hub work with real systems at both of its ends? `make peers` installs, starts and seeds them."""
