"""Which senders are there, and how do they prove who they are?"""
