"""How is a JMESPath expression compiled, and evaluated within a budget? Pure."""
