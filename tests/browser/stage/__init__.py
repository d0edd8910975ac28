"""The screens of the console, and the busy hub that they show."""
