"""How do the systems at both ends of the hub behave? Two stand-ins with real HTTP, for demonstrations and tests.

``sandbox.identity`` plays the identity service that sends webhooks, ``sandbox.shop`` the target system that the hub
keeps up to date. Both misbehave on demand (``sandbox.faults.rules``) and record each API request in a journal
(``sandbox.base.request_journal``). The sandbox uses only the HTTP contract of the hub, none of its code.
"""
