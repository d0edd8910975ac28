"""Small systems that a target connection speaks to, each with another kind of interface and sentences of its own."""
