"""When and where is an export made, resumed and deleted?"""
