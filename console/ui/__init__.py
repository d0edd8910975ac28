"""What are pages drawn with: chips, charts, links, times and states?"""
