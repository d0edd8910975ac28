"""The databases of the tests, and checks of rows and query plans."""
