"""HTTP as tests need it: servers to call, certificates, connectors, answers of the hub."""
