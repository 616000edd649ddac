"""Reading: rows as answers and pages show them, a file a resource.

Each function takes an open session and holds it for as long as its queries take.
"""
