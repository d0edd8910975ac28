"""What happens, step by step, when a person changes their e-mail?"""
