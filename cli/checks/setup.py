"""What Argus is set up with: settings, family, weights, profiles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from cli.checks.finding import Finding
from core.settings import load_settings, settings


def configuration() -> Iterator[Finding]:
    """Settings parse; the family's file reads; devices exist."""
    from core.devices import local_devices
    from core.families import load_family

    load_settings()
    yield Finding("settings", True, "every ARGUS_… variable is known and in range")
    family = load_family(settings().family)
    size = f"{len(family.offered)} models, {len(family.levels)} levels, {len(family.loras)} LoRAs"
    yield Finding("family", True, f"{family.id} {family.version}: {size}")
    for level, why in family.withheld.items():
        yield Finding(f"level {level}", False, f"not offered: {why}. Calibrate it with `argus calibrate`")
    yield Finding("devices", True, ", ".join(local_devices()))


def weights() -> Iterator[Finding]:
    """Weights that came with Argus are there and are those that were recorded; others come from the hub."""
    from core.families import load_family

    family = load_family(settings().family)
    places = {model.id: model.location for model in family.offered.values()}
    for name, place in {**places, "scorer": family.scorer.location}.items():
        if Path(place).is_dir():
            yield weights_in(name, Path(place))
        else:
            yield Finding(f"weights of {name}", True, f"{place}: taken from the Hugging Face hub when first used")


def weights_in(name: str, folder: Path) -> Finding:
    """Whether the weights of a folder are those that were recorded; raises `WeightsDamaged`."""
    if not (folder.parent / "checksums.json").exists():
        return Finding(f"weights of {name}", True, f"{folder} (no checksums recorded)")
    from families.embedded.checksums import verify

    verify(folder)
    return Finding(f"weights of {name}", True, "present, checksums as recorded")


def loras() -> Iterator[Finding]:
    """The files of the family's LoRAs are there, whole, and those that the family file names."""
    from core.families import load_family

    for lora in load_family(settings().family).loras.values():
        file = lora.checked()
        about = "no checksum named" if lora.sha256 is None else "checksum as named"
        yield Finding(f"LoRA {lora.id}", True, f"{file}: whole, {about}")


def profile() -> Iterator[Finding]:
    """There is a measured profile; the scheduler plans by it."""
    from core.families import load_family
    from core.measured import measured_files
    from core.profiles import read_profile

    family = load_family(settings().family)
    files = measured_files(family.id, "*.json")
    for file in files:
        found = read_profile(file)
        yield Finding("profile", True, f"{file.name}: {len(found.levels)} levels on {found.device}, {found.measured}")
    if not files:
        yield Finding("profile", False, f"none of family {family.id}: measure with `argus profile`")
