"""Settings, health, logs and the layout of the project as a whole."""
