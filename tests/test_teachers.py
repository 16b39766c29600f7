import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from model import checkpoints
from model.common.errors import InputError
from model.common.weight_files import write_contents
from model.dualstylegan import DualStyleGAN
from model.ops import blur_downsample
from model.stylegan2 import Generator
from model.training.data.sampling import Sample, apply_affine, draw, layer_noise, moved_input, student_input
from model.training.options import RECIPES, DualOptions, ToonifyOptions
from model.training.teachers.variants import fill_backbone, load_backbone, load_teacher
from model.vtoonify import VToonify
from tests.small_teachers import DIRECTIONS, EXEMPLARS, ROWS, SMALL, STRUCTURE, Eye, Parser, dual, toonify

NUMBERS = [7, 3, 11, 20, 21, 22]
TINY = RECIPES["tiny"].network


@torch.no_grad()
def intrinsic(teacher, sample: Sample) -> Tensor:
    """0.5·(w + d) item by item, for what `NUMBERS` draw."""
    codes = []
    for z, attribute in zip(draw(5, NUMBERS, SMALL).z.double(), sample.attribute.tolist(), strict=True):
        w = teacher.photos.mapping(z).repeat(ROWS, 1)
        if attribute >= 0:
            w[STRUCTURE // 2 : STRUCTURE] += torch.from_numpy(DIRECTIONS)[attribute, STRUCTURE // 2 : STRUCTURE]
        codes.append(0.5 * w)
    return torch.stack(codes)


def noise() -> list[Tensor]:
    return layer_noise(SMALL, draw(5, NUMBERS, SMALL).noise_seeds, torch.device("cpu"))


@torch.no_grad()
def moved(pictures: Tensor, sample: Sample) -> Tensor:
    return apply_affine(pictures.clamp(-1, 1), sample.affine).clamp(-1, 1)


@torch.no_grad()
def photo_layers(teacher, photo: Tensor) -> Tensor:
    codes = Eye().style_codes(F.adaptive_avg_pool2d(photo.clamp(-1, 1), 256))
    return torch.stack([torch.stack([teacher.photos.mapping(row) for row in code]) for code in codes])


def same(a: Sample, b: Sample, **tolerance) -> None:
    for name, value in vars(a).items():
        torch.testing.assert_close(value, vars(b)[name], **tolerance, msg=lambda text, name=name: f"{name}: {text}")


def items(sample: Sample, which: list[int]) -> Sample:
    return Sample(**{name: None if value is None else value[which] for name, value in vars(sample).items()})


@pytest.mark.parametrize("progress", [0.0, 0.3, 0.8, None])
@pytest.mark.parametrize("make", [toonify, dual])
@pytest.mark.parametrize("method", ["sample", "sample_features"])
def test_a_sample_does_not_depend_on_its_batch(make, method, progress):
    teacher = make()
    whole = getattr(teacher, method)(NUMBERS, progress)
    for which in ([2], [4, 1, 3]):
        part = getattr(make(), method)([NUMBERS[i] for i in which], progress)
        same(part, items(whole, which), rtol=0, atol=1e-4)  # the affine's grid is float32
    same(getattr(teacher, method)(NUMBERS, progress), whole, rtol=0, atol=0)


def test_random_numbers_have_their_distributions():
    draws = draw(0, range(4000), SMALL)
    assert all(abs(codes.mean()) < 0.03 and abs(codes.std() - 1) < 0.03 for codes in (draws.z, draws.other_z))
    assert abs((draws.z * draws.other_z).mean()) < 0.03
    for other in (draw(0, [1], SMALL), draw(1, [0], SMALL)):
        assert not torch.equal(draws.z[:1], other.z) and draws.noise_seeds[:1] != other.noise_seeds
    for values in (draws.attribute, draws.style, draws.degree, draws.progress):
        np.testing.assert_allclose(np.quantile(values, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.03)
    assert abs((draws.affine == torch.eye(3)).all(2).all(1).double().mean() - 0.8**5) < 0.03
    assert draws.offset.min() == 0 and draws.offset.max() == 8, "windows of 56 px, of 64"


def test_noise_is_normal_and_differs_between_layers_and_samples():
    layers = layer_noise(SMALL, [1, 2], torch.device("cpu"))
    assert [layer.shape for layer in layers] == [(2, 1, s, s) for s in (4, 8, 8, 16, 16, 32, 32, 64, 64)]
    assert abs(layers[-1].std() - 1) < 0.03 and abs(layers[-1].mean()) < 0.03
    assert max(abs((layers[-1][0] * other).mean()) for other in (layers[-1][1], layers[-2][0])) < 0.05


@torch.no_grad()
def exemplar_codes(teacher, style: Tensor) -> Tensor:
    return teacher.photos.mapping(torch.from_numpy(np.concatenate(list(EXEMPLARS.values()))))[style]


@torch.no_grad()
def assert_pairs(teacher, sample: Sample, code: Tensor, of_photo: bool, *weights: Tensor) -> None:
    """That photo and cartoon are those of a style code, the layers 7-17 of which are perhaps the photo's."""
    w_plus = intrinsic(teacher, sample)
    photo = teacher.photos(w_plus, noise())
    if of_photo:
        code = torch.cat([code[:, :STRUCTURE], photo_layers(teacher, photo)[:, STRUCTURE:]], dim=1)
    cartoon = teacher.cartoons(*([w_plus, code, *weights] if weights else [code]), noise())
    torch.testing.assert_close(sample.w_plus, code)
    torch.testing.assert_close(sample.photo, moved(photo, sample), rtol=0, atol=1e-4)
    torch.testing.assert_close(sample.cartoon, moved(cartoon, sample), rtol=0, atol=1e-4)
    assert teacher.style_encoder.calls == int(of_photo)


def test_toonify_pairs_follow_the_formulas():
    teacher = toonify()
    sample = teacher.sample(NUMBERS, 0.5)
    assert_pairs(teacher, sample, intrinsic(teacher, sample), True)
    assert set(sample.attribute.tolist()) <= {0, 1, 2, 3} and len(set(sample.attribute.tolist())) > 1
    assert sample.degree.tolist() == [1.0] * 6 and sample.style.tolist() == [0] * 6 and len(teacher.styles) == 1


@pytest.mark.parametrize("fixed", [[], ["color"], ["style"], ["style", "color"], ["degree"]])
def test_dualstylegan_pairs_follow_the_formulas(fixed):
    teacher = dual(**{f"fix_{name}": True for name in fixed})
    sample, colour = teacher.sample(NUMBERS, 0.4), 0.0 if "color" in fixed else 1.0
    weights = [torch.tensor([d] * STRUCTURE + [colour] * (ROWS - STRUCTURE)) for d in sample.degree.tolist()]
    code = exemplar_codes(teacher, sample.style)
    assert_pairs(teacher, sample, code, fixed != ["style"], torch.stack(weights))
    assert teacher.styles == list(EXEMPLARS)


@pytest.mark.parametrize("make", [toonify, dual])
def test_features_follow_the_formulas(make):
    teacher = make()
    sample = teacher.sample_features(NUMBERS, 0.7)
    w_plus = intrinsic(teacher, sample)
    code = w_plus if make is toonify else exemplar_codes(teacher, sample.style)
    with torch.no_grad():
        codes = (w_plus,) if make is toonify else (w_plus, code, sample.degree[:, None].expand(-1, ROWS))
        feature, skip = teacher.cartoons.features_at(*codes, SMALL.structure_size, noise())
        photo = teacher.photos(w_plus, noise()).clamp(-1, 1)
    for value, wanted in ((sample.feature, feature), (sample.skip, skip), (sample.photo, photo), (sample.w_plus, code)):
        torch.testing.assert_close(value, wanted)
    assert sample.cartoon is None and sample.offset is None
    assert torch.equal(sample.affine, torch.eye(3).expand(6, 3, 3))
    assert teacher.style_encoder.calls == 0


def test_without_helpers_there_is_no_edit_no_map_and_the_code_is_the_one_that_was_drawn():
    teacher = toonify(style_encoder=None, parser=None, directions=None)
    sample = teacher.sample(NUMBERS, None)
    assert sample.attribute.tolist() == [-1] * 6 and sample.logits is None
    torch.testing.assert_close(sample.w_plus, intrinsic(teacher, sample))
    assert sample.batch()["x"].shape == (6, 3, 16, 16)


def test_degrees_are_multiples_of_a_fifth_and_styles_are_all_taken():
    degree, style = dual().degree_and_style(draw(5, range(600), SMALL), 0.3)
    torch.testing.assert_close(degree.unique(), torch.linspace(0, 1, 6))
    assert degree.unique(return_counts=True)[1].min() > 70 and len(style.unique()) == 3 and style.bincount().min() > 150


def test_the_first_step_and_fixed_choices_take_what_is_given():
    first = dual(style_degree=0.7).sample(NUMBERS, 0.0)
    assert first.degree.tolist() == pytest.approx([0.7] * 6) and first.style.tolist() == [1] * 6
    for progress, fixed in itertools.product((0.01, 0.4, None), ([], ["degree"], ["style"])):
        later = dual(style_degree=0.7, **{f"fix_{name}": True for name in fixed}).sample(NUMBERS, progress)
        assert (later.degree.tolist() == pytest.approx([0.7] * 6)) == ("degree" in fixed)
        assert (later.style.tolist() == [1] * 6) == ("style" in fixed)


def test_late_in_a_run_the_photo_and_nothing_else_changes_colour():
    teacher = dual()
    early, late = teacher.sample(NUMBERS, 0.5), teacher.sample(NUMBERS, 0.8)
    for name in ("w_plus", "cartoon", "degree", "style", "affine", "attribute"):
        torch.testing.assert_close(vars(early)[name], vars(late)[name], rtol=0, atol=1e-4)
    with torch.no_grad():
        w_plus, share = intrinsic(teacher, early), 2 * 0.8 - 1
        other = 0.5 * torch.stack([teacher.photos.mapping(z) for z in draw(5, NUMBERS, SMALL).other_z.double()])
        w_plus[:, STRUCTURE:] = (1 - share) * w_plus[:, STRUCTURE:] + share * other[:, None]
        photo = teacher.photos(w_plus, noise())
    torch.testing.assert_close(late.photo, moved(photo, late), rtol=0, atol=1e-4)
    assert (late.photo - early.photo).abs().mean() > 0.01
    for fixed in ({"fix_color": True}, {"fix_style": True}):
        same(dual(**fixed).sample(NUMBERS, 0.5), dual(**fixed).sample(NUMBERS, 0.9), rtol=0, atol=0)


def test_half_of_the_stored_samples_have_other_colours():
    teacher = dual({"style_encoder": None, "parser": None})
    early, late, stored = (teacher.sample(range(12), progress).photo for progress in (0.5, 1.0, None))
    changed = [not torch.allclose(a, b, atol=1e-4) for a, b in zip(early, stored, strict=True)]
    assert changed == (draw(5, range(12), SMALL).progress > 0.5).tolist() and 2 < sum(changed) < 10
    assert not torch.allclose(stored[changed.index(True)], late[changed.index(True)], atol=1e-4)


def test_in_pre_training_the_degree_is_zero_for_a_quarter_then_uniform():
    teacher, draws = dual(style_degree=0.3), draw(5, range(800), SMALL)
    early, late, stored = (teacher.degree_and_style(draws, reached, pretrain=True)[0] for reached in (0.25, 0.26, None))
    assert not early.any() and len(late.unique()) > 700 and abs(late.mean() - 0.5) < 0.03
    assert abs((stored == 0).double().mean() - 0.25) < 0.04
    assert torch.equal(stored[stored > 0], late[stored > 0])
    fixed = dual(style_degree=0.3, fix_degree=True, fix_style=True)
    for progress in (0.0, 0.9, None):
        sample = fixed.sample_features(NUMBERS, progress)
        assert sample.degree.tolist() == pytest.approx([0.3] * 6) and sample.style.tolist() == [1] * 6


def test_results_lie_in_their_range_the_photo_is_parsed_and_networks_are_frozen():
    teacher = dual()
    sample = teacher.sample(NUMBERS, 0.9)
    for pictures in (sample.photo, sample.cartoon):
        assert pictures.abs().max() <= 1 and not pictures.requires_grad
    torch.testing.assert_close(sample.logits, Parser()(2 * blur_downsample(sample.photo)))
    assert sample.logits.shape == (6, 19, 32, 32)
    assert not teacher.training and not any(parameter.requires_grad for parameter in teacher.parameters())


@pytest.mark.parametrize("make", [toonify, dual])
def test_bfloat16_changes_little_and_results_stay_float32(make):
    exact, rough = (make().float() for _ in range(2))
    rough.dtype = torch.bfloat16
    for method in ("sample", "sample_features"):
        a, b = (getattr(teacher, method)(NUMBERS, 0.6) for teacher in (exact, rough))
        for name, value in vars(b).items():
            if value is not None and value.is_floating_point():
                assert value.dtype == torch.float32, name
                assert (value - vars(a)[name]).abs().mean() < 0.05 * (1 + vars(a)[name].abs().mean()), name


def test_a_sample_becomes_what_the_student_sees():
    teacher = dual()
    sample, early = teacher.sample(NUMBERS, 0.3), teacher.sample_features(NUMBERS, 0.3).batch()
    photo, logits, pair = sample.photo.float(), sample.logits.float(), sample.batch()
    torch.testing.assert_close(pair["x"], student_input(photo, logits))
    torch.testing.assert_close(pair["moved"], moved_input(photo, logits, sample.offset))
    torch.testing.assert_close(pair["y"], sample.cartoon.float())
    assert pair.keys() == {"x", "y", "w_plus", "degree", "style", "moved", "offset"}
    assert early.keys() == {"x", "w_plus", "degree", "style", "feature", "skip"}
    assert all(value.dtype in (torch.float32, torch.int64) for value in (*pair.values(), *early.values()))


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A function that makes options for small files in a folder, but for the parser, which is not read."""
    torch.manual_seed(0)
    config = TINY.generator
    for name, network in (("base", Generator(config)), ("fine", Generator(config)), ("dual", DualStyleGAN(config))):
        write_contents(tmp_path / f"{name}.pt", {"g_ema": network.state_dict()})
    rng = np.random.default_rng(0)
    codes = {name: rng.normal(size=(1, config.w_layers, config.style_dim)) for name in ("a", "b")}
    checkpoints.save_exemplars(tmp_path / "codes.npy", codes)
    np.save(tmp_path / "directions.npy", rng.normal(size=(4, config.w_layers, config.style_dim)))
    monkeypatch.setattr(checkpoints, "load_parser", lambda path: Parser())

    names = {
        ToonifyOptions: {"stylegan": "base.pt", "finetunegan": "fine.pt", "direction": "directions.npy"},
        DualOptions: {"stylegan": "dual.pt", "exstyle": "codes.npy", "direction": "directions.npy"},
    }

    def options(kind: type, **changes):
        paths = {f"{option}_path": str(tmp_path / name) for option, name in names[kind].items()}
        others = {"config": "tiny", "style_encoder_path": "none"} | ({"style_id": 1} if kind is DualOptions else {})
        return kind(**paths | others | changes).resolved()

    return options


def test_teachers_come_from_files(files, tmp_path):
    teacher = load_teacher(files(ToonifyOptions, weight=[0.25] * TINY.generator.w_layers), "cpu")
    base, fine = (checkpoints.load_generator(tmp_path / f"{name}.pt", TINY.generator) for name in ("base", "fine"))
    weight = [generator.convs[1].conv.weight for generator in (base, fine, teacher.photos, teacher.cartoons)]
    assert torch.equal(weight[2], weight[0])
    torch.testing.assert_close(weight[3], 0.75 * weight[0] + 0.25 * weight[1])
    sample = teacher.sample([0, 1], 0.5)
    assert sample.cartoon.shape == (2, 3, 256, 256) and sample.logits.shape == (2, 19, 128, 128)
    assert sample.attribute.min() >= 0

    plain = load_teacher(files(DualOptions, direction_path="none"), "cpu")
    sample = plain.sample([0, 1], 0)
    assert plain.styles == ["a", "b"] and sample.style.tolist() == [1, 1] and sample.attribute.tolist() == [-1, -1]


@pytest.mark.parametrize("kind", [ToonifyOptions, DualOptions])
def test_a_student_is_put_on_the_generator_of_its_teacher(files, kind):
    options = files(kind)
    network = VToonify(options.recipe.network)
    fill_backbone(network, load_backbone(options))
    trained = load_teacher(options, "cpu").cartoons
    for name, value in trained.state_dict().items():
        assert torch.equal(network.generator.state_dict()[name], value), name
    if kind is DualOptions:
        assert len(network.res) == TINY.generator.structure_layers
        for block, own in zip(network.res, trained.res, strict=False):
            assert all(torch.equal(a, b) for a, b in zip(block.parameters(), own.parameters(), strict=True))
        assert network.res[1].conv[0].dilation == 2, "the weights are shared, the dilation is the student's"


def test_the_style_encoder_is_read_only_where_it_is_used(files, monkeypatch):
    monkeypatch.setattr(checkpoints, "load_style_encoder", lambda path: Eye())
    with pytest.raises(InputError, match="--style_encoder_path is e.pt: .* don't fit --config tiny, so give none"):
        load_teacher(files(DualOptions, style_encoder_path="e.pt"), "cpu")
    monkeypatch.delattr(checkpoints, "load_style_encoder")
    for useless in ({"pretrain": True}, {"fix_style": True}):
        load_teacher(files(DualOptions, style_encoder_path="e.pt", **useless), "cpu")


@pytest.mark.parametrize(
    ("kind", "changes", "sentence"),
    [
        (ToonifyOptions, {"finetunegan_path": "nowhere.pt"}, "nowhere.pt does not exist: a StyleGAN2 generator"),
        (ToonifyOptions, {"direction_path": "nowhere.npy"}, "nowhere.npy does not exist: a file of editing directions"),
        (ToonifyOptions, {"direction_path": "other.npy"}, r"\[4, 18, 512\], not float of shape \[N, 14, 16\]"),
        (DualOptions, {"stylegan_path": "nowhere.pt"}, "nowhere.pt does not exist: a DualStyleGAN"),
        (DualOptions, {"exstyle_path": "nowhere.npy"}, "nowhere.npy does not exist: a file of exemplar"),
        (DualOptions, {"style_id": 2}, "--style_id is 2: .*codes.npy has styles 0 to 1"),
        (DualOptions, {"config": "published"}, r"shape \[1, 14, 16\], but --config published takes \[1, 18, 512\]"),
    ],
)
def test_files_that_do_not_serve_are_one_sentence(files, tmp_path, monkeypatch, kind, changes, sentence):
    monkeypatch.chdir(tmp_path)
    np.save("other.npy", np.zeros((4, 18, 512), np.float32))
    with pytest.raises(InputError, match=sentence) as caught:
        load_teacher(files(kind, **changes), "cpu")
    assert "\n" not in str(caught.value)
