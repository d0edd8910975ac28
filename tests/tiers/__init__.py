"""Which tests run when: `make test`, `.ci/run`, `make nightly`, `make gate-stress`."""
