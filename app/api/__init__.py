"""The native API, version 1: one file a resource. Shapes are in `app/schemas/`, errors in `core/errors.py`."""

from __future__ import annotations

from apiflask import APIBlueprint

from app.api import compare, events, images, inputs, jobs, levels, moves, requests, results, webhooks


def blueprints() -> list[APIBlueprint]:
    """Each resource's routes."""
    resources = (jobs, inputs, compare, moves, events, results, requests, images, levels, webhooks)
    return [module.blueprint for module in resources]
