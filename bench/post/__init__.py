"""How long a submission takes: `POST /v1/jobs` with one prompt, a hundred a second."""
