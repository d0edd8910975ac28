"""Who approves access that its requester could not give alone?"""
