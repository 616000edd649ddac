"""What goes over the wire: the shapes of submissions and answers, a file a resource. OpenAPI is made from these.

Static ranges stand here; what depends on the family (sizes, steps, guidance, levels, length of prompts) is checked in
`app/submission.py`. Unknown fields are refused: a typo must not become a default. What is a number, `core/numbers.py`
says.
"""
