"""What the parallel bench makes of scores and images."""

import numpy as np

from bench.parallel import figures, psnr, ways
from bench.parallel_page import page


def test_equal_images_have_no_noise_and_others_by_their_mean_square():
    image = np.full((4, 4, 3), 100, dtype=np.uint8)
    assert psnr(image, image) == 99.0
    assert abs(psnr(image, image + 10) - 28.13) < 0.01


def test_scores_are_relative_to_those_of_the_serial_way():
    serial = np.array([[2.0, 99, 12], [3.0, 99, 12]])
    found = figures(ways()[1], np.array([[1.9, 40, 12], [3.1, 30, 12]]), serial)
    assert (found["clip"], found["psnr"], found["psnr_least"]) == (1.0, 35.0, 30.0)
    assert found["clip_interval"] > 0.07


def test_the_page_names_command_and_every_way_with_its_prompts():
    rows = np.array([[2.0, 40, 12], [3.0, 41, 12]])
    found = {
        "run": {"command": "python -m bench.parallel", "measured": "now", "family": "embedded", "family_version": "4"},
        "hardware": {"name": "a CPU", "torch": "2", "diffusers": "0"},
        "ways": [figures(way, rows, rows) for way in ways()],
        "curves": {"DistriFusion, 4 ranks": {1: 0.1, 12: 1e-7}},
        "bytes": [{"way": "distrifusion, 2 ranks", "counted": 2e6, "formula": 1e6}],
    }
    text = page(found)
    assert "python -m bench.parallel" in text
    assert "| parataa, tolerance 0.05 | large | 2 |" in text
    assert all(f"| {way.name} |" in text for way in ways())
    assert "| distrifusion, 2 ranks | 2.000 | 1.000 |" in text
