"""What the tests of leaks share: the forms in which a system may repeat a secret, and how they are found again."""
