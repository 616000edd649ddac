"""Every error a user can meet, drawn once.

::

    ArgusError
    ├── BadInput (400)                what was sent cannot be done; `field` says where
    │   ├── BadPrompt                 empty, over-long, control characters, not UTF-8
    │   ├── OutOfRange                size, steps, seed, guidance, floor, deadline
    │   ├── UnknownLevel              a level this family does not have, or that cannot draw with the LoRAs asked for
    │   ├── UnknownLora               a LoRA this family does not have
    │   ├── UnknownFamily             a family file that is not there
    │   ├── KeyReused                 an Idempotency-Key that came before with something else
    │   ├── BadCsv                    a CSV without the column, too long, wrong encoding
    │   ├── BadPicture                an image or mask that cannot be begun with
    │   ├── TextToImageOnly           an address that would make something of an image that is not made here
    │   ├── BadFile                   a file or folder that cannot be read or written (command line)
    │   ├── BadFamily                 a family file that does not parse
    │   ├── BadProfile                a profile or quality table that cannot be used
    │   ├── BadCalibration            a calibration of a level that cannot be used
    │   ├── BadTrace                  a trace with unsorted, negative or missing times
    │   └── BadInstance               a planning instance that cannot be solved as written
    ├── Unauthorized (401)            keys are demanded, and none that is good was sent
    ├── Forbidden (403)               a page of another site, or one that has expired, tried to change something
    │   └── MissingScope              the key that was sent may do less than this
    ├── NotFound (404)                no such job, request, image or address
    │   └── ModelNotFound             a model that clients of OpenAI name and that is not here
    ├── WrongMethod (405)             the address exists, but not for this method
    ├── Conflict (409)                the thing is not in a state that allows this
    │   └── KeyInFlight               an Idempotency-Key whose first call is still under way
    ├── TooLarge (413)                more than one submission may carry
    ├── WrongMediaType (415)          the body is not of the type that this address takes
    ├── TooOften (429)                over ARGUS_RATE_LIMIT, or all places to wait for images or events are taken
    │   ├── OverQuota                 over the images that the tenant may have accepted a day
    │   └── TooMuchWaiting            over ARGUS_MAX_WAITING, or ARGUS_MAX_WAITING_CLIENT
    ├── OutcomeUnknown (504)          the database went away while a job was committed, and did not come back to say
    ├── TookTooLong (504)             the images did not come within ARGUS_COMPAT_WAIT_S; their job goes on
    ├── BadSettings                   an unknown or malformed ARGUS_… setting stops start-up
    ├── NoModelFits                   a device with too little memory for any model of the family
    ├── ServiceDown (503)             database or broker cannot be reached
    │   └── StoreDown                 the image store cannot be written or read
    ├── NotStartedInTime (504)        a request that had not begun within its `start_within_s`
    └── EngineError                   one request failed inside a worker; its neighbours go on
        ├── WeightsDamaged            a weight file missing, or not the one that was recorded
        ├── LoraDamaged               a LoRA's file missing, truncated, or not the one that was recorded
        ├── LoraUnfit                 a LoRA that does not fit the model
        ├── OutOfMemory               admission did not fit, even alone
        ├── NotANumber                NaN or infinity in a latent
        ├── DecodeFailed              the latent would not become an image
        ├── CacheEntryDamaged         a cached latent that is truncated or of another shape
        ├── DeviceFailed              a CUDA error after which the worker's device is unusable
        ├── ModelNotHeld              the worker does not hold the level's model
        └── Cancelled                 cancelled by the user

Each has a stable `code`, the HTTP status it answers with, and a message that says what to do next.
`docs/errors.md` is made from this file.
"""

from __future__ import annotations

from collections.abc import Iterator

from core.argus_error import PAGE as PAGE
from core.argus_error import PROBLEM_TYPE as PROBLEM_TYPE
from core.argus_error import ArgusError as ArgusError


class BadInput(ArgusError):
    code = "bad_input"
    status = 400
    help = "Correct the named field and send again."


class BadPrompt(BadInput):
    code = "bad_prompt"
    status = 422
    help = "Send a prompt of 1 to the family's limit of characters, UTF-8, without control characters."


class OutOfRange(BadInput):
    code = "out_of_range"
    status = 422
    help = "Choose a value inside the range the message names."


class UnknownLevel(BadInput):
    code = "unknown_level"
    status = 422
    help = "Use `auto` or one of the levels the message lists (`GET /v1/levels`)."


class UnknownLora(BadInput):
    code = "unknown_lora"
    status = 422
    help = "Use one of the LoRAs the message lists (`GET /v1/levels`); `literal` takes a tag in a prompt as its text."


class UnknownFamily(BadInput):
    code = "unknown_family"
    status = 422
    help = "Name a file of families/ or a path to one."


class KeyReused(BadInput):
    code = "idempotency_key_reused"
    status = 422
    help = "Send a new `Idempotency-Key` with every new submission, the old one only with what it was sent with."


class BadCsv(BadInput):
    code = "bad_csv"
    status = 422
    help = "Send a UTF-8 CSV with a header that has a `prompt` column."


class BadFile(BadInput):
    code = "bad_file"
    help = "Check the path, who may read and write it, and the space left."


class BadPicture(BadInput):
    code = "bad_picture"
    status = 422
    help = "Send a PNG, JPEG or WebP file of one frame, whole, or the id of an image that is here."


class TextToImageOnly(BadInput):
    code = "text_to_image_only"
    help = "Describe the image in words, or send one to begin with (`image` of `POST /v1/jobs`)."


class BadFamily(BadInput):
    code = "bad_family"
    help = "Correct the family file at the place the message names."


class BadProfile(BadInput):
    code = "bad_profile"
    help = "Measure again with `argus profile`, or correct the named field."


class BadCalibration(BadInput):
    code = "bad_calibration"
    help = "Calibrate the level again with `argus calibrate cachequant` or `argus calibrate subspace`."


class BadTrace(BadInput):
    code = "bad_trace"
    help = "Correct the named line of the trace; docs/formats.md lists the three shapes."


class BadInstance(BadInput):
    code = "bad_instance"
    help = "Correct the named field of the instance."


class Unauthorized(ArgusError):
    code = "unauthorized"
    status = 401
    help = "Send a key as `Authorization: Bearer argus_…`; whoever runs this Argus makes one (`argus keys create`)."


class Forbidden(ArgusError):
    code = "forbidden"
    status = 403
    help = "Load the page again and send it from there; programs use `/v1` without `Origin`."


class MissingScope(Forbidden):
    code = "missing_scope"
    help = "Use a key with the scope that the message names (`argus keys create --scopes`)."


class NotFound(ArgusError):
    code = "not_found"
    status = 404
    help = "Check the address and the id; images leave when their job is deleted."


class ModelNotFound(NotFound):
    code = "model_not_found"
    help = "Use a name that `GET /v1/models` lists, or have this one mean something by ARGUS_MODEL_ALIASES."


class WrongMethod(ArgusError):
    code = "wrong_method"
    status = 405
    help = "Use a method that the answer's `Allow` header names."


class WrongMediaType(ArgusError):
    code = "wrong_media_type"
    status = 415
    help = "Set `Content-Type` to what the message names."


class TooOften(ArgusError):
    code = "too_often"
    status = 429
    help = "Wait as long as the `Retry-After` header says, and put more prompts into one job."


class OverQuota(TooOften):
    code = "over_quota"
    help = "Send again after `Retry-After`, when the next day begins (UTC); `argus tenants set` changes the quota."


class TooMuchWaiting(TooOften):
    code = "too_much_waiting"
    help = "Send again after `Retry-After`: the seconds until there is room, at the rate of the last five minutes."


class TookTooLong(ArgusError):
    code = "took_too_long"
    status = 504
    help = "Read the job the message names (`GET /v1/jobs/{job_id}`): it goes on. ARGUS_COMPAT_WAIT_S is the limit."


class OutcomeUnknown(ArgusError):
    code = "outcome_unknown"
    status = 504
    help = (
        "Read the job the message names (`GET /v1/jobs/{job_id}`): if there is none, nothing was accepted; send again."
    )


class TooLarge(ArgusError):
    code = "too_large"
    status = 413
    help = "Split the submission into several jobs."


class Conflict(ArgusError):
    code = "conflict"
    status = 409
    help = "Look at the state of the thing first; the message says what it is."


class KeyInFlight(Conflict):
    code = "idempotency_key_in_flight"
    help = "Send the same again after `Retry-After` seconds: it is answered with what the first call made."


class BadSettings(ArgusError):
    code = "bad_settings"
    help = "Correct the setting; `argus doctor` and docs/settings.md list all."


class NoModelFits(ArgusError):
    code = "no_model_fits"
    help = "Choose another ARGUS_FAMILY or another device, or give it more memory (ARGUS_MEMORY_MB)."


class ServiceDown(ArgusError):
    code = "service_down"
    status = 503
    retry_after_s = 5
    help = "Start it again (`make up`) and retry; nothing accepted was lost."


class StoreDown(ServiceDown):
    code = "store_down"
    help = "Free space, or make the image store writable again; images that are drawn wait for it and are not lost."


class NotStartedInTime(ArgusError):
    code = "not_started_in_time"
    status = 504
    help = "Send it again when less waits (`GET /v1/plan`), or with more time in `start_within_s`."


class EngineError(ArgusError):
    code = "engine_error"
    help = "The request can be sent again; the attempt records the reason."


class WeightsDamaged(EngineError):
    code = "weights_damaged"
    help = "Restore the file the message names (`git checkout` it, or download the model again)."


class LoraDamaged(EngineError):
    code = "lora_damaged"
    help = "Restore the file the message names, or correct the family file; `argus doctor` checks all of them."


class LoraUnfit(EngineError):
    code = "lora_unfit"
    help = "Take the model out of the LoRA's `models` in the family file, or the LoRA out of the request."


class OutOfMemory(EngineError):
    code = "out_of_memory"
    help = "Use a smaller size or level, or lower ARGUS_MAX_BATCH."


class NotANumber(EngineError):
    code = "not_a_number"
    help = "Lower the guidance, or use another data type (ARGUS_DTYPE=float32)."


class DecodeFailed(EngineError):
    code = "decode_failed"


class CacheEntryDamaged(EngineError):
    code = "cache_entry_damaged"
    help = "Nothing: the entry is dropped and the request runs without it."


class DeviceFailed(EngineError):
    code = "device_failed"
    help = (
        "Nothing: the request goes back to its queue and the worker starts again. A request with which devices fail "
        "when it runs alone, too, has failed itself. If others fail as well, look at `nvidia-smi`."
    )
    ran = True  # whether the request was at the device when it failed


class ModelNotHeld(EngineError):
    code = "model_not_held"
    help = "Nothing: the request goes back to its queue."


class Cancelled(EngineError):
    code = "cancelled"
    status = 409
    help = "Nothing: the job was cancelled."


def kinds(root: type[ArgusError] = ArgusError) -> Iterator[type[ArgusError]]:
    """The tree above, each error before those under it."""
    yield root
    for child in root.__subclasses__():
        if child.__module__ == __name__:
            yield from kinds(child)
