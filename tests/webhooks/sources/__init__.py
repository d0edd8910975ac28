"""Sources over HTTP: verification, handshakes and response formats."""
