"""Small identity services that a connection reads users from, each with another envelope, list and refusal."""
