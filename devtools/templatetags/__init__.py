"""Which tags do the templates of developers' tools use?"""
