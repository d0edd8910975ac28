"""Systems that answer in seventeen ways, and what must become of each answer."""
