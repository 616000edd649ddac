"""The web app: pages, REST, health. `create_app` builds it; nothing here imports torch.

========== =======================================================
api/       native API v1, a file a resource
compat/    the APIs of OpenAI and AUTOMATIC1111, for their clients
web/       pages: form, job, gallery, request, dashboard
ops/       health and metrics
schemas/   shapes of submissions and answers, a file a resource
records/   rows as answers and pages show them, a file a resource
quota      images of a tenant a day
submission checks of a submission; prompts: choices in them
uploads    files of prompts; plain_json: JSON within bounds
rendering  a stored image in another size or format
jobs       submit, cancel, remove; idempotency: sent again, done once; bell: the router is told
target     the latency target, kept for a second
preference whether an answer waits for the images; parking: answers that go on later
moves      many requests at once; archives: a job's results as ZIP and tar
openapi    what every operation may answer; links: our addresses as clients use them
errors     how errors are answered; security: headers, tokens, limits; cors: pages of others
proxies    who calls through proxies; clients: what a client is
access     keys, what they may do, whose rows are whose; keyring: keys as the database has them
server     waitress; access_log: a line a request
========== =======================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apiflask import APIFlask

ABOUT = (
    "Text-to-image batch generation on your own devices. While capacity allows, every prompt gets the exact model; "
    "when it does not, the prompts that lose least quality get a cheaper level, and every answer says which and why."
)


def create_app(secret: str | None = None) -> APIFlask:
    """The Flask app, with the settings in force; `secret` signs cookies in place of the one that is kept."""
    from apiflask import APIFlask

    from app import access, access_log, api, compat, errors, idempotency, openapi, ops, quota, security, web
    from app.plain_json import PlainJson
    from app.proxies import TrustedProxies
    from app.schemas.errors import ERROR_BODY
    from app.target import TARGET
    from core.log import set_up_logging
    from core.settings import settings
    from core.web_secret import web_secret

    set_up_logging()
    TARGET.forget()
    app = APIFlask("app", title="Argus", version="1", docs_path=None, json_errors=False)
    megabytes = settings().max_upload_mb * 1024 * 1024
    app.config.update(
        MAX_CONTENT_LENGTH=megabytes,
        MAX_FORM_MEMORY_SIZE=security.FORM_BYTES,
        DESCRIPTION=ABOUT,
        **access.COOKIE,
        SESSION_COOKIE_SECURE=settings().public_url.startswith("https"),
        SESSION_COOKIE_PATH=settings().public_path or "/",
        VALIDATION_ERROR_STATUS_CODE=400,
        VALIDATION_ERROR_DESCRIPTION="Not what this address takes; `field` says where",
        VALIDATION_ERROR_SCHEMA=ERROR_BODY,
        HTTP_ERROR_SCHEMA=ERROR_BODY,
    )
    app.json = PlainJson(app)
    app.secret_key = secret or web_secret()
    app.wsgi_app = TrustedProxies(app.wsgi_app, settings().proxy_networks, settings().public_path)  # type: ignore[method-assign]
    for blueprint in (*api.blueprints(), *compat.blueprints(), ops.blueprint, web.blueprint):
        app.register_blueprint(blueprint)
    openapi.register(app)
    errors.register(app)
    app.after_request(idempotency.add_header)
    access_log.register(app)
    security.register(app)
    access.register(app)
    quota.register(app)
    return app
