"""A history that never happened: events of ninety days with what came of them, for looking at and for measuring."""
