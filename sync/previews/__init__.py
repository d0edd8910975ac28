"""What would an attempt change, if it ran now?"""
