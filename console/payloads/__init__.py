"""How is personal content shown, masked and revealed?"""
