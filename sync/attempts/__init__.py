"""What happens in one attempt, from fetch to settled?"""
