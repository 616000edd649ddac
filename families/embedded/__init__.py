"""The family that ships with Argus: models, recipe, weights."""
