"""HTTP servers, certificates, connectors and checks of the hub's answers for tests."""
