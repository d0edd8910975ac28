"""How is a declaration edited as a table, over a sample of the entities that it maps?"""
