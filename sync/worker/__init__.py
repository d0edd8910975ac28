"""What does a worker process run?"""
