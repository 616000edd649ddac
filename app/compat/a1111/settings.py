"""The web UI's settings here: the checkpoint can be chosen; of those that change images none has an effect.

As options they are refused by name; sent with a call, those of how a checkpoint is run are ignored and named, and those
of `OTHER_PICTURE` refused. `DEFAULTS` are what the web UI comes with, by its modules/shared_options.py: clients send
them with each call to be sure of them, so what says the same is taken. What is about files, the page or images made
from images means nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.rendering import Format
from core.errors import ArgusError, BadInput
from core.numbers import number

CHECKPOINT = "sd_model_checkpoint"
FORMAT = "samples_format"
FORMATS: dict[str, Format] = {"": "png", "png": "png", "jpg": "jpeg", "jpeg": "jpeg", "webp": "webp"}
SHOWN: dict[str, Any] = {  # by `GET /options` too
    **{"sd_vae": "Automatic", "CLIP_stop_at_last_layers": 1, FORMAT: "png", "face_restoration": False},
    **{"tiling": False, "sd_hypernetwork": "None", "eta_noise_seed_delta": 0, "token_merging_ratio": 0.0},
}
DEFAULTS: dict[str, Any] = {
    **SHOWN,
    **{"always_discard_next_to_last_sigma": False, "auto_vae_precision": True, "batch_cond_uncond": True},
    **{"beta_dist_alpha": 0.6, "beta_dist_beta": 0.6, "cache_fp16_weight": False, "comma_padding_backtrack": 20},
    **{"ddim_discretize": "uniform", "dont_fix_second_order_samplers_schedule": False, "emphasis": "Original"},
    **{"enable_batch_seeds": True, "enable_emphasis": True, "enable_quantization": False, "eta_ancestral": 1.0},
    **{"eta_ddim": 0.0, "extra_networks_default_multiplier": 1.0, "filter_nsfw": False, "forge_additional_modules": []},
    **{"forge_unet_storage_dtype": "Automatic", "fp8_storage": "Disable", "k_sched_type": "Automatic"},
    **{"pad_cond_uncond": False, "pad_cond_uncond_v0": False, "persistent_cond_cache": True, "randn_source": "GPU"},
    **{"rho": 0.0, "s_churn": 0.0, "s_min_uncond": 0.0, "s_min_uncond_all": False, "s_noise": 1.0, "s_tmax": 0.0},
    **{"s_tmin": 0.0, "sd_lora": "None", "sd_noise_schedule": "Default", "sd_unet": "Automatic", "sdxl_crop_left": 0},
    **{"sdxl_clip_l_skip": False, "sdxl_crop_top": 0, "sgm_noise_multiplier": False, "sigma_max": 0.0},
    **{"sigma_min": 0.0, "skip_early_cond": 0.0, "uni_pc_lower_order_final": True, "uni_pc_order": 3},
    **{"uni_pc_skip_type": "time_uniform", "uni_pc_variant": "bh1", "upcast_attn": False},
}
ALSO = {"sd_vae": ("none", ""), "CLIP_stop_at_last_layers": (0.0,), "sd_hypernetwork": ("",), "sd_lora": ("",)}
OLD = "use_old_"  # begins the names of ways in which earlier versions drew; off by default
OTHER_PICTURE = ("face_restoration", "sd_hypernetwork", "sd_lora", "tiling")  # no matter of how a checkpoint is run
HARMLESS = (  # what begins like this
    *("add_", "code_former_", "directories_", "disable_", "do_not_", "enable_pnginfo", "ESRGAN_", "export_", "font"),
    *("face_restoration_model", "forge_inference_memory", "forge_preset", "grid_", "hide_", "img2img_", "inpainting_"),
    *("initial_noise_multiplier", "interrogate_", "jpeg_quality", "js_", "keyedit_", "list_", "live_preview", "n_rows"),
    *("notification_", "outdir_", "print_", "quicksetting", "return_", "samples_filename", "samples_save", "save_"),
    *("sd_checkpoint", "sd_vae_", "send_", "show_", "temp_dir", "token_merging_ratio_", "ui_", "upscal", "webp_"),
)


def refuse_settings(wanted: Mapping[str, Any], place: str = "") -> None:
    """Refuse settings that would change images; raises `BadInput` naming the first."""
    for name in without_effect(wanted):
        if name not in DEFAULTS and not name.startswith(OLD):
            raise BadInput(f"Argus has no setting {name[:60]!r}: leave it out.", field=f"{place}{name[:60]}")
        raise BadInput(
            f"It would change the image, and here it is always {DEFAULTS.get(name, False)!r}: leave it out.",
            field=f"{place}{name}",
        )


def without_effect(wanted: Mapping[str, Any]) -> list[str]:
    """The settings that would change images there and do not here: they say something else than what is so anyway."""
    return [
        name
        for name, value in wanted.items()
        if name != CHECKPOINT and not name.startswith(HARMLESS) and not _is_so(name, value)
    ]


def _is_so(name: str, value: Any) -> bool:
    known = name in DEFAULTS or name.startswith(OLD)
    return known and (value is None or _plain(value) in (_plain(DEFAULTS.get(name, False)), *ALSO.get(name, ())))


def _plain(value: Any) -> Any:
    """A value as it is compared: booleans and numbers in text or not as floats, text in small letters."""
    try:
        return number(float(value) if isinstance(value, bool) else value)
    except ArgusError:
        return value.strip().lower() if isinstance(value, str) else value
