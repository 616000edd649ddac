"""The API of AUTOMATIC1111's web UI, for its clients: `/sdapi/v1`.

========== =======================================================
txt2img    draw and wait; info: what the answer says of the images
progress   how far a client's work is; interrupt and skip
options    the checkpoint a client chose; settings: all others
checkpoints what the web UI calls models
lists      what else clients ask at their start
png_info   what an image says about itself
refused    what makes images from images
probes     addresses beside /sdapi
schemas    bodies sent; off: fields refused unless off; answers
========== =======================================================
"""

from app.compat.a1111 import lists, options, png_info, progress, refused, txt2img  # noqa: F401 - they add routes
from app.compat.a1111.blueprint import blueprint
from app.compat.a1111.probes import probes

__all__ = ["blueprint", "probes"]
