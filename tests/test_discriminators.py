import pytest
import torch

from model.discriminator import PatchDiscriminator, StrokeDiscriminator
from model.training.judged import Judge
from model.training.options import DualOptions, ToonifyOptions


@pytest.fixture(scope="module")
def judge():
    torch.manual_seed(0)
    return PatchDiscriminator(3, width=4).eval()


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(1)
    image, photo = (torch.rand(2, 3, side, side, generator=generator) * 2 - 1 for side in (160, 40))
    return {"image": image, "photo": photo, "degree": torch.tensor([1.0, 0.5]), "style_index": torch.tensor([0, 2])}


def changed(judge, batch, **other):
    """Logits that change, `[B, S/8, S/8]`, when something in the batch does."""
    with torch.no_grad():
        return (judge(**batch) - judge(**batch | other)).abs().squeeze(1) > 1e-6


@torch.no_grad()
def test_a_patch_has_54_pixels(judge, batch):
    image = batch["image"].clone()
    image[:, :, 80, 80] += 1
    seen = changed(judge, batch, image=image)[0]
    rows = seen.any(1).nonzero().flatten()
    assert (rows * 8 + 3.5 - 80).abs().max() <= 54 / 2 and len(rows) >= 6
    assert (seen.any(1) == seen.any(0)).all() and not seen.all()


def test_photo_style_and_degree_matter_and_at_degree_0_all_styles_are_one(judge, batch):
    photo = batch["photo"].clone()
    photo[:, :, 20, 20] += 1
    assert changed(judge, batch, photo=photo)[:, 10, 10].all() and not changed(judge, batch, photo=photo)[:, 0].any()
    assert changed(judge, batch, style_index=torch.tensor([1, 1])).all(dim=(1, 2)).all()
    assert changed(judge, batch, degree=torch.tensor([0.9, 0.4])).all(dim=(1, 2)).all()
    photos = batch | {"degree": torch.zeros(2)}
    assert not changed(judge, photos, style_index=torch.tensor([1, 1])).any()


@pytest.mark.parametrize(
    ("make_options", "config", "shape"),
    [(DualOptions, "starter_tiny", (2, 1, 16, 16)), (DualOptions, "tiny", (2, 1)), (ToonifyOptions, "tiny", (2, 1))],
)
def test_the_recipe_names_the_discriminator(make_options, config, shape):
    batch = {"x": torch.rand(2, 3, 32, 32), "degree": torch.ones(2), "style": torch.tensor([0, 1])}
    ((*features, logits),) = Judge(make_options(config=config), 2)([torch.rand(2, 3, 128, 128)], batch)
    assert logits.shape == shape and logits.requires_grad
    assert [feature.shape[-1] for feature in features] == ([64, 32, 16, 16] if config == "starter_tiny" else [])


def test_the_judge_of_strokes_sees_22_pixels():
    torch.manual_seed(0)
    judge, image = StrokeDiscriminator().eval(), torch.rand(1, 3, 64, 64)
    changed_image = image.clone()
    changed_image[:, :, 32, 32] += 1
    with torch.no_grad():
        before, after = (judge.activations(each)[-1] for each in (image, changed_image))
    assert before.shape == (1, 1, 16, 16) and torch.equal(before, judge(image))
    seen = ((before - after).abs() > 1e-6)[0, 0].any(1).nonzero().flatten()
    assert (seen * 4 + 1.5 - 32).abs().max() <= 26 / 2 and 4 <= len(seen) <= 7
