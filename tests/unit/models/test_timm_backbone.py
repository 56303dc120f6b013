"""timm's networks as backbones: what is built, what the small stem leaves, and what cannot be."""

import subprocess
import sys
import warnings

import pytest
import torch

from ferlab.errors import ConfigError
from ferlab.labels import FERPLUS
from ferlab.models import build
from ferlab.models.timm_backbone import TimmBackbone, published_input
from ferlab.spec import ModelSpec


def first_map(backbone, layer, size=48):
    """Side of what `layer` gives for a grey picture of `size` pixels."""
    sides = []
    backbone.body.get_submodule(layer).register_forward_hook(lambda m, i, output: sides.append(output.shape[-1]))
    with torch.no_grad():
        backbone.eval()(torch.zeros(1, 1, size, size))
    return sides[0]


# the small stem


@pytest.mark.parametrize(
    ("name", "layer", "usual", "small"),
    [
        ("test_resnet", "layer1", 12, 48),  # 48 / 2 by the convolution, / 2 by the max-pool
        ("resnet18", "layer1", 12, 48),
        ("resnet10t", "layer1", 12, 48),  # three convolutions before the max-pool
        ("mobilenetv2_100", "bn1", 24, 48),  # it has no max-pool
        ("test_efficientnet", "bn1", 24, 48),
        ("resnetv2_18", "stages.0", 12, 48),
    ],
)
def test_the_small_stem_keeps_the_size(name, layer, usual, small):
    assert first_map(TimmBackbone(1, 48, name), layer) == usual
    assert first_map(TimmBackbone(1, 48, name, small_input=True), layer) == small


def test_the_small_stem_leaves_later_pooling_alone():
    """VoVNet's max-pools open its later stages."""
    usual, small = (TimmBackbone(1, 64, "ese_vovnet19b_slim", small_input=each) for each in (False, True))
    pools = [sum(isinstance(m, torch.nn.MaxPool2d) for m in each.modules()) for each in (usual, small)]
    assert pools[0] == pools[1] > 0


def test_the_small_stem_has_the_same_weights():
    """So that weights trained on large pictures can start it."""
    usual, small = (TimmBackbone(1, 48, "resnet18", small_input=each).state_dict() for each in (False, True))
    assert {key: value.shape for key, value in usual.items()} == {key: value.shape for key, value in small.items()}


@pytest.mark.parametrize(
    ("name", "got"),
    [("test_convnext", "stride 4"), ("test_vit", "stride 16"), ("vgg11", "stride 1"), ("gmixer_12_224", "stride 16")],
)
def test_a_stem_that_cannot_be_made_small_says_so_and_what_to_use(name, got):
    size = 48 if name != "vgg11" else 32
    with pytest.raises(ConfigError, match=rf"^small_input must .* of stride 2 .*, got {got} in {name}; use .*patch"):
        TimmBackbone(1, size, name, small_input=True)


# sizes and patches


def test_a_vit_is_built_for_the_size_and_the_patch():
    assert TimmBackbone(3, 96, "test_vit").body.pos_embed.shape[1] == 1 + 6 * 6
    assert TimmBackbone(1, 48, "test_vit", patch=6).body.pos_embed.shape[1] == 1 + 8 * 8


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vit_tiny", {"patch": 7}, "a multiple of the 7 pixels of vit_tiny_patch16_224's patches, got 48; "),
        ("timm", {"name": "test_vit", "patch": 32}, "a multiple of the 32 pixels of test_vit's patches, got 48; "),
        ("timm", {"name": "convnext_atto", "patch": 5}, "of convnext_atto's patches, got 48; "),
    ],
)
def test_patches_that_do_not_fill_the_picture_are_refused_with_those_that_do(name, options, message):
    with pytest.raises(ConfigError) as caught:
        build(ModelSpec(FERPLUS), name, options)
    assert str(caught.value).startswith("model.size must be ")
    assert str(caught.value).endswith(f"{message}patches that fit it: 4, 6, 8, 12, 16, 24")


def test_a_picture_that_is_too_small_fails_when_the_network_is_built():
    with pytest.raises(ConfigError, match=r"^model\.size must be larger for inception_v3, got 48; 80 is enough$"):
        build(ModelSpec(FERPLUS), "timm", {"name": "inception_v3"})


@pytest.mark.parametrize("option", [{"patch": 8}, {"hidden": 0}, {"hidden": -3}, {"dropout": 2}, {"drop_path": "a"}])
def test_an_option_that_the_network_cannot_have_is_one_line(option):
    with pytest.raises(ConfigError) as caught:
        build(ModelSpec(FERPLUS), "timm", {"name": "test_resnet"} | option)
    assert str(next(iter(option.values()))) in str(caught.value)
    assert "\n" not in str(caught.value)


# names


def test_an_unknown_name_gets_the_nearest_and_not_a_thousand():
    with pytest.raises(ConfigError) as caught:
        TimmBackbone(1, 48, "resnt18")
    assert str(caught.value).startswith("unknown timm model 'resnt18'; did you mean 'resnet18' or '")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", ["qqqqqqq", "", "hf-hub:somebody/model", "local-dir:/tmp"])
def test_a_name_that_is_near_none_says_how_to_find_one(name):
    with pytest.raises(ConfigError, match=r"; timm\.list_models\('\*part\*'\) finds names$"):
        TimmBackbone(1, 48, name)


def test_a_tag_of_weights_is_part_of_a_name():
    assert TimmBackbone(1, 48, "resnet10t.c3_in1k").width == 512
    with pytest.raises(ConfigError, match=r"unknown timm model 'resnet18\.a9_in1k'; did you mean 'resnet18\.a"):
        TimmBackbone(1, 48, "resnet18.a9_in1k")


# layers of its own


def test_the_hidden_layer_is_linear_norm_relu_after_the_pooling():
    backbone = TimmBackbone(1, 48, "test_resnet", hidden=7, dropout=0.0).eval()
    images = torch.randn(3, 1, 48, 48)
    with torch.no_grad():
        norm = backbone.hidden[1]
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        products = backbone.body(images) @ backbone.hidden[0].weight.T
        expected = ((products - norm.running_mean) / (norm.running_var + 1e-5).sqrt()).clamp(min=0)
        torch.testing.assert_close(backbone(images), expected)
    assert backbone.width == 7


def test_dropout_and_skipped_blocks_are_drawn_in_training_only():
    backbone = TimmBackbone(1, 48, "test_vit", dropout=0.0, drop_path=0.9)
    images = torch.randn(4, 1, 48, 48)
    with torch.no_grad():
        assert not torch.equal(backbone.train()(images), backbone(images))
        assert torch.equal(backbone.eval()(images), backbone(images))


# what timm's weights were trained on


def test_the_published_input_comes_from_timm():
    imagenet = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    assert published_input("resnet18", 3) == {"size": 224} | imagenet
    assert published_input("inception_v3", 3) == {"size": 299, "mean": [0.5] * 3, "std": [0.5] * 3}
    assert published_input("vit_tiny_patch16_224", 1) == {"size": 224, "mean": [0.5], "std": [0.5]}


@pytest.mark.parametrize("grey", [0.0, 0.3, 1.0])
def test_a_grey_input_is_normalised_to_the_mean_of_the_three_channels(grey):
    rgb, one = published_input("resnet18", 3), published_input("resnet18", 1)
    channels = [(grey - mean) / std for mean, std in zip(rgb["mean"], rgb["std"], strict=True)]
    assert (grey - one["mean"][0]) / one["std"][0] == pytest.approx(sum(channels) / 3, abs=1e-4)


def test_timm_is_imported_only_where_a_network_of_it_is_built():
    """It takes seconds, which a bundle of another family must not cost."""
    code = (
        "import sys\n"
        "from ferlab.models import build\n"
        "from ferlab.spec import ModelSpec\n"
        "build(ModelSpec(('anger', 'fear')), 'small_resnet', {})\n"
        "assert 'timm' not in sys.modules and 'torchvision' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_building_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TimmBackbone(1, 48, "test_vit", patch=8, hidden=4)
