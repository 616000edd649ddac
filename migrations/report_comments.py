"""What the report views and their columns mean, by the migration that said so; a later one overrides an earlier.

The migrations write them into the database, `bench.docs` into docs/reports.md.
"""

from __future__ import annotations

Comments = dict[str, tuple[str, dict[str, str]]]  # view → what a row is, column → its meaning

OF_REQUEST = {
    "id": "the request's id",
    "job_id": "its job",
    "position": "place in the job, from 0",
    "source": "what sent it: web, api, csv, cli, openai, a1111, replay",
    "family": "family of models",
    "service_class": "interactive, batch",
    "state": "accepted, queued, running, done, failed, cancelled",
    "level_asked": "auto, or a level's id",
    "level": "chosen; once done, the one that drew it",
    "epoch": "the plan that chose it",
    "worker": "who has it, or had it",
    "attempts": "tries",
    "hopeless": "old name of deadline_unreachable; leaves with version 0.3",
    "seed": "of the image",
    "prompt": "as it is drawn",
    "predicted_quality": "relative to exact, predicted when the level was chosen",
    "min_quality": "floor that was asked",
    "error_code": "why it failed",
    "accepted_at": "when it was committed",
    "stored_at": "when its image was stored",
    "deadline_at": "by when it is wanted",
    "latency_s": "seconds from accepted to stored",
    "wait_s": "seconds from accepted to started",
    "denoise_s": "seconds from started to the last step",
    "store_s": "seconds from the last step to stored",
    "slo_s": "seconds from accepted to the deadline",
    "violated": "failed, late, or still open past its deadline",
    "score": "CLIPScore of its newest image",
    "deadline_unreachable": "set aside, as not all that waited could be in time",
    "qualities": "JSON: predicted relative quality by level",
    "tenant": "whose it is",
    "model": "the model that has it, or drew it",
    "quality": "predicted relative quality at the level it got",
    "hour": "hour (UTC) in which it was accepted",
}
OF_JOB = {
    "id": "the job's id",
    "tenant": "whose it is",
    "family": "family of models",
    "source": "what sent it: web, api, csv, cli, openai, a1111, replay",
    "service_class": "interactive, batch",
    "title": "as its sender named it",
    "created_at": "when it was accepted",
    "requests": "how many it has",
    "done": "of them, with an image",
    "failed": "of them, failed",
    "cancelled": "of them, cancelled",
    "open": "of them, waiting or running",
    "violations": "of them, failed or late",
    "images": "stored; more than done where images were drawn again",
    "latency_mean_s": "mean seconds from accepted to stored",
    "latency_max_s": "most seconds from accepted to stored",
    "last_stored_at": "when its newest image was stored",
    "quality_mean": "mean relative quality predicted at the levels used",
    "quality_lost": "mean shortfall from 1 of that quality",
    "score_mean": "mean CLIPScore",
    "device_s": "device seconds (of a GPU, where there is one) that its images took",
}
FIGURES = {
    "requests": "that ended: done, failed or cancelled",
    "images": "stored; more than requests done where images were drawn again",
    "latency_p50_s": "median latency in seconds, read from a histogram: off by a quarter at most",
    "latency_p95_s": "95th percentile, likewise",
    "latency_p99_s": "99th percentile, likewise",
    "violation_rate": "share of those done or failed that failed or were late",
    "score_mean": "mean CLIPScore",
    "latency_mean_s": "mean seconds from accepted to stored",
    "service_mean_s": "mean seconds from started to stored",
    "quality_mean": "mean relative quality predicted at the level used",
    "quality_lost": "mean shortfall from 1 of that quality",
    "scored": "images scored",
    "failed": "requests that failed",
    "violations": "requests that failed or were late",
    "device_s": "device seconds (of a GPU, where there is one) that the images took",
    "device_saved_s": "what they would have taken at exact, by what exact was measured to take on the same type of "
    "device here for each pixel and step, less what they took; none where exact was never drawn on it",
}
ARRIVED = {"accepted": "requests accepted", **FIGURES}
COMMENTS: dict[str, Comments] = {
    "0023": {
        "report_request": ("A row a request.", OF_REQUEST),
        "report_job": ("A row a job.", OF_JOB),
        "report_level": (
            "A row a family and level, of all time.",
            {"family": "family of models", "level": "the level", **FIGURES},
        ),
        "report_model": (
            "A row a family and model, of all time.",
            {"family": "family of models", "model": "the model that drew", **FIGURES},
        ),
        "report_tenant": (
            "A row a tenant and family, of all time.",
            {"tenant": "whose requests", "family": "family of models", **ARRIVED},
        ),
        "report_hour": (
            "A row an hour (UTC) of acceptance and family.",
            {"hour": "when they were accepted", "family": "family of models", **ARRIVED},
        ),
        "report_minute": (
            "A row a minute of acceptance and family, of the last day.",
            {
                "minute": "when they were accepted",
                "family": "family of models",
                "accepted": "requests",
                "stored": "of them, stored",
                "violation_rate": "share of all that failed, were late, or are open past their deadline",
                "score_mean": "mean CLIPScore",
                "latency_p95_s": "95th percentile of latency in seconds",
            },
        ),
        "report_usage": (
            "A row an hour, tenant, family, level, model, type of device and service class: sums and counts, for your "
            "own GROUP BY.",
            {
                "hour": "when they were accepted (UTC)",
                "tenant": "whose requests",
                "family": "family of models",
                "level": "that they got; unrouted where they got none, and of all that were accepted",
                "model": "that drew them; none where nothing did",
                "device_type": "type of device that drew them",
                "service_class": "interactive, batch",
                "accepted": "requests accepted",
                "done": "of requests, done",
                "failed": "of requests, failed",
                "cancelled": "of requests, cancelled",
                "violations": "of requests, failed or late",
                "images": "stored",
                "latency_s": "sum over those done, accepted to stored",
                "wait_s": "sum over those done, accepted to started",
                "service_s": "sum over those done, started to stored",
                "device_s": "sum of the device seconds of images",
                "judged": "requests done whose quality was predicted",
                "quality": "sum of their predicted relative quality",
                "quality_lost": "sum of its shortfall from 1",
                "scored": "images scored",
                "score": "sum of their CLIPScores",
            },
        ),
        "report_audit": (
            "A row an image that Argus drew again at exact, to measure what quality its level kept.",
            {
                "id": "the request audited",
                "tenant": "whose it is",
                "family": "family of models",
                "level": "that it got",
                "audited_at": "when exact was drawn",
                "score": "CLIPScore at its level",
                "exact_score": "CLIPScore at exact, same prompt and seed",
                "predicted_quality": "relative quality that was predicted",
                "measured_quality": "the first score divided by the second",
            },
        ),
        "report_plan": (
            "A row a plan, kept for ARGUS_HISTORY_DAYS.",
            {
                "epoch": "its number",
                "family": "family of models",
                "created_at": "when it was made",
                "policy": "that made it",
                "status": "the solver's word, or failed",
                "in_force": "whether it is followed now",
                "reason": "why it is as it is",
                "seconds": "that it took to make",
            },
        ),
        "report_worker": (
            "A row a generation worker.",
            {
                "name": "of the Celery worker",
                "device": "cuda:0, cpu:0",
                "device_type": "as in profiles",
                "family": "family of models",
                "state": "starting, ready, stopped; as it last said",
                "models": "that it holds",
                "started_at": "when its process began",
                "seen_at": "when it was last heard",
            },
        ),
    },
    "0030": {
        "report_request": (
            "A row a request.",
            {"state": "accepted, queued, running, paused, done, failed, cancelled"},
        ),
    },
    "0041": {
        "report_fidelity": (
            "A row an image that began with others, and a measure of how it keeps to them.",
            {
                "id": "the request's id",
                "tenant": "whose it is",
                "family": "family of models",
                "kind": "image-to-image, inpainting, restoration, fusion, translation",
                "level": "that drew it",
                "stored_at": "when it was stored",
                "measure": "psnr (dB), ssim, distance, misfit, entropy (bits), vif, scd: what each is says docs/api.md",
                "value": "what was measured",
            },
        ),
    },
    "0043": {
        "report_level": (
            "A row a family and level, of all time.",
            {"level": "the level; of a restoration, fusion or translation its kind, of which nothing is saved"},
        ),
        "report_usage": (
            "A row an hour, tenant, family, level, model, type of device and service class: sums and counts, for your "
            "own GROUP BY.",
            {
                "level": "that they got; the kind of a restoration, fusion or translation; unrouted where they got "
                "none, and of all that were accepted",
            },
        ),
    },
}


def merged() -> Comments:
    """What holds now: the newest word on each view and column."""
    found: Comments = {}
    for revision in sorted(COMMENTS):
        for view, (about, columns) in COMMENTS[revision].items():
            found[view] = (about, {**found.get(view, ("", {}))[1], **columns})
    return found
