"""May this remote system be called now?"""
