"""How are rows written as CSV or XLSX?"""
