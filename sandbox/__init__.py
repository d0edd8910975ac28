"""Two stand-in systems with real HTTP for demonstrations, tests and load tests.

``sandbox.identity`` plays the identity service that sends webhooks, ``sandbox.shop`` the commercial system
that the hub keeps up to date. Both misbehave on demand (``sandbox.faults.rules``) and keep a journal of what they
were asked (``sandbox.base.request_log``). Nothing here knows the hub's code: only its HTTP contract.
"""
