"""Which operations do a target's settings describe, and what does shorthand stand for? Pure."""
