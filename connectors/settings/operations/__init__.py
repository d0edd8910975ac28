"""Which operations do a target's settings describe? Pure."""
