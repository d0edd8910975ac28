"""Which entities changed at an identity service, although no webhook of them was delivered?"""
