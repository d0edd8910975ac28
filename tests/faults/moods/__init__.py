"""Systems that answer in seventeen ways (moods), and the expected outcome of each."""
