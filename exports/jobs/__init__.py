"""When and where is an export created, resumed and deleted?"""
