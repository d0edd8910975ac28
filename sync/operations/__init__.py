"""What else may an operator decide: approve, close, pause, test, triage?"""
