"""How is a document of settings edited with controls, without a person typing JSON?"""
