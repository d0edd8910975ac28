"""What happens, step by step, when a person changes their e-mail, and when the shop changes behind the hub's back?"""
