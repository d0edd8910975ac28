"""What do the pages and ModelAdmins of the console build on?"""
