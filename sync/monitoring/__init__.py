"""Is the hub healthy, and who is notified?"""
