"""Two runs of different methods on the same observations, joined."""

import pytest
from tables import merged

KEYS = ("psnr_mean", "psnr_single", "ssim_mean", "ssim_single", "misfit")


def _run(reference, methods, seed=0):
    common = {
        "prior": "p",
        "problem": "q",
        "images": {"count": 3},
        "observations": "o",
        "samples": 2,
        "seed": seed,
    }
    rows = [
        {
            "label": label,
            "images": len(values),
            "difference": {},
            "per_image": dict.fromkeys(KEYS, values),
        }
        for label, values in methods.items()
    ]
    return common | {"reference": reference, "methods": rows}


def test_differences_are_taken_again_to_the_last_learned_method_on_the_images_of_both():
    joined = merged(_run("DEFT-20", {"DEFT-20": [1.0, 2.0, 3.0]}), _run("DPS", {"DPS": [2.0, 4.0]}))
    assert [m["label"] for m in joined["methods"]] == ["DPS", "DEFT-20"]
    assert joined["reference"] == "DEFT-20"
    assert joined["methods"][0]["difference"]["psnr_mean"]["value"] == pytest.approx(1.5)
    assert "patch_distance" not in joined["methods"][0]["difference"]


def test_of_a_method_in_both_runs_the_one_over_more_images_stays():
    joined = merged(
        _run("DEFT-20", {"DEFT-20": [1.0, 2.0, 3.0]}), _run("DEFT-20", {"DEFT-20": [9.0]})
    )
    assert joined["methods"][0]["per_image"]["psnr_mean"] == [1.0, 2.0, 3.0]


def test_differences_follow_a_reference_that_was_measured_again():
    joined = merged(
        _run("DEFT-20", {"DPS": [2.0, 4.0], "DEFT-20": [1.0, 2.0]}),
        _run("DEFT-20", {"DEFT-20": [5.0, 6.0]}),
    )
    assert joined["methods"][0]["difference"]["psnr_mean"]["value"] == pytest.approx(-2.5)


def test_other_observations_are_refused():
    with pytest.raises(SystemExit, match="seed of the kept file and of this run differ"):
        merged(_run("DPS", {"DPS": [1.0]}), _run("DPS", {"DPS": [1.0]}, seed=1))
