"""Which faults do rows of the log have? Pure: takes rows, returns findings."""
