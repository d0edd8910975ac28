"""How do the systems at both ends of the hub behave? Two stand-ins with real HTTP, for demonstrations and tests.

``sandbox.identity`` plays the identity service that sends webhooks, ``sandbox.shop`` the commercial system
that the hub keeps up to date. Both misbehave on demand (``sandbox.faults.rules``) and keep a journal of what they
were asked (``sandbox.base.request_log``). Nothing here knows the hub's code: only its HTTP contract.
"""
