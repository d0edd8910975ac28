"""The databases of the tests, rows as faults leave them, and checks of rows and query plans."""
