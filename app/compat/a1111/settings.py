"""The web UI's settings here: which there are, which may be changed, and which would change images and cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.compat.a1111.off import is_off
from core.errors import BadInput

CHECKPOINT = "sd_model_checkpoint"
FIXED: dict[str, tuple[Any, tuple[Any, ...]]] = {  # what it is, and what it may be said to be
    "sd_vae": ("Automatic", ("automatic", "none", "")),
    "CLIP_stop_at_last_layers": (1, (0.0, 1.0)),
    "samples_format": ("png", ("png",)),
    "eta_noise_seed_delta": (0, (0.0,)),
    "face_restoration": (False, (0.0, "false")),
    "tiling": (False, (0.0, "false")),
    "sd_hypernetwork": ("None", ("none", "")),
    "token_merging_ratio": (0.0, (0.0,)),
    "s_churn": (0.0, (0.0,)),
    "forge_additional_modules": ([], ()),
    "forge_unet_storage_dtype": ("Automatic", ("automatic", "")),
}
HARMLESS = (  # what begins like this is about files, the page or other kinds of images, and changes none here
    *("add_", "directories_", "disable_", "do_not_", "enable_pnginfo", "ESRGAN_", "export_", "font", "grid_", "hide_"),
    *("img2img_", "inpainting_", "interrogate_", "jpeg_quality", "js_", "keyedit_", "list_", "live_preview", "n_rows"),
    *("notification_", "outdir_", "print_", "quicksetting", "return_", "samples_filename", "samples_save", "save_"),
    *("sd_checkpoint", "sd_vae_", "send_", "show_", "temp_dir", "ui_", "upscal"),
    *("webp_", "forge_preset", "forge_inference_memory", "override_settings"),
)


def refuse_settings(wanted: Mapping[str, Any], place: str = "") -> None:
    """Refuse settings that would change images; raises `BadInput` naming the first."""
    for name, value in wanted.items():
        if name == CHECKPOINT or name.startswith(HARMLESS):
            continue
        actual, said = FIXED.get(name, (None, None))
        if said is None:
            raise BadInput(f"Argus has no setting {name[:60]!r}: leave it out.", field=f"{place}{name[:60]}")
        if value != actual and not is_off(value, said):
            raise BadInput(
                f"It would change the image, and here it is always {actual!r}: leave it out.", field=f"{place}{name}"
            )
