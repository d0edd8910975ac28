"""Programs that run inside the installation of a peer. They are not imported."""
