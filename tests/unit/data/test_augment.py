import math

import numpy as np
import pytest
import torch

from ferlab.data.augment import BatchAugment, CameraAugment
from ferlab.errors import ConfigError

NOTHING = {
    "flip": 0.0, "rotate": 0.0, "scale": 0.0, "translate": 0.0, "brightness": 0.0, "contrast": 0.0, "erase": 0.0,
}  # fmt: skip
# Columns of the uniform numbers, as BatchAugment takes them; 0.5 is the middle of every range, so no change.
FLIP, ANGLE, SCALE, X, Y, CONTRAST, BRIGHTNESS, ERASE, HEIGHT, CENTRE_Y, WIDTH, CENTRE_X = range(12)


def drawn(n=6, c=1, size=48, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, c, size, size), dtype=torch.uint8, generator=generator)
    return images, torch.rand(n, BatchAugment.DRAWS, generator=generator)


def numbers(n=1, **columns):
    u = torch.full((n, BatchAugment.DRAWS), 0.5)
    for name, value in columns.items():
        u[:, globals()[name]] = value
    return u


def only(**options):
    return BatchAugment(**(NOTHING | options))


def dot(size, y, x):
    image = torch.zeros(1, 1, size, size)
    image[0, 0, y, x] = 200
    return image


def brightest(image):
    return divmod(int(image[0, 0].argmax()), image.shape[3])


def test_the_numbers_of_a_face_are_as_many_as_are_used():
    assert CENTRE_X + 1 == BatchAugment.DRAWS


@pytest.mark.parametrize("channels", [1, 3])
def test_all_strengths_at_zero_change_nothing(channels):
    images, u = drawn(c=channels)
    torch.testing.assert_close(only()(images, u), images.float(), atol=1e-3, rtol=0)


def test_mirroring_is_exact():
    images, u = drawn()
    torch.testing.assert_close(only(flip=1.0)(images, u), images.flip(3).float(), atol=1e-3, rtol=0)


def test_each_face_is_mirrored_by_its_own_number():
    images, _ = drawn(n=4)
    u = numbers(4)
    u[:, FLIP] = torch.tensor([0.0, 0.29, 0.3, 0.9])
    result = only(flip=0.3)(images, u)
    expected = torch.cat([images[:2].flip(3), images[2:]]).float()
    torch.testing.assert_close(result, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("u", "turns"), [(1.0, 1), (0.0, -1)])
def test_a_quarter_turn_moves_every_pixel_where_it_should(u, turns):
    # At +90° the output at (x, y) shows the input at (-y, x): right goes to the top, left to the bottom.
    images, _ = drawn(n=1, size=9)
    result = only(rotate=90.0)(images, numbers(ANGLE=u))
    torch.testing.assert_close(result, images.rot90(turns, (2, 3)).float(), atol=1e-2, rtol=0)
    assert brightest(only(rotate=90.0)(dot(9, 4, 1), numbers(ANGLE=u))) == ((7, 4) if turns == 1 else (1, 4))


def test_mirroring_comes_after_the_turn():
    images, _ = drawn(n=1, size=9)
    result = only(rotate=90.0, flip=1.0)(images, numbers(ANGLE=1.0))
    torch.testing.assert_close(result, images.rot90(1, (2, 3)).flip(3).float(), atol=1e-2, rtol=0)


def test_the_angle_grows_with_the_number():
    # 30° at u = 1: the middle of the right side is seen at cos 30°, sin 30° of the radius.
    radius, centre = 20, 24.5
    image = dot(49, 24, 24 + radius)
    y, x = brightest(only(rotate=30.0)(image, numbers(ANGLE=1.0)))
    assert (y + 0.5, x + 0.5) == (
        pytest.approx(centre - radius * math.sin(math.radians(30)), abs=0.8),
        pytest.approx(centre + radius * math.cos(math.radians(30)), abs=0.8),
    )


def test_a_larger_number_makes_the_face_larger():
    # scale = 0.5 at u = 1 enlarges by 1.5: a point 8 right of the centre goes to 12.
    assert brightest(only(scale=0.5)(dot(49, 24, 32), numbers(SCALE=1.0))) == (24, 36)
    assert brightest(only(scale=0.5)(dot(49, 24, 32), numbers(SCALE=0.0))) == (24, 28)  # 0.5 × 8


def test_the_shift_is_a_fraction_of_the_side():
    # translate = 0.25 of 16 is 4 pixels; at u = 1 the output shows what lies 4 further on.
    assert brightest(only(translate=0.25)(dot(16, 8, 8), numbers(X=1.0))) == (8, 4)
    assert brightest(only(translate=0.25)(dot(16, 8, 8), numbers(X=0.0, Y=1.0))) == (4, 12)


def test_brightness_is_added_by_hand():
    images = torch.full((1, 1, 8, 8), 100.0)
    add = only(brightness=0.2)
    torch.testing.assert_close(add(images, numbers(BRIGHTNESS=0.0)), images - 51, atol=1e-3, rtol=0)
    torch.testing.assert_close(add(images, numbers(BRIGHTNESS=0.75)), images + 25.5, atol=1e-3, rtol=0)


def test_contrast_turns_about_the_faces_mean():
    images = torch.full((1, 1, 8, 8), 80.0)
    images[..., :4] = 120  # mean 100
    high = only(contrast=0.5)(images, numbers(CONTRAST=1.0))
    assert high[0, 0, 0, [0, 7]].tolist() == pytest.approx([130, 70], abs=1e-2)
    flat = only(contrast=1.0)(images, numbers(CONTRAST=0.0))
    assert flat.flatten().tolist() == pytest.approx([100] * 64, abs=1e-2)


def test_the_erased_box_by_hand():
    # 16 px; sides 0.25 + 0.25 u: u = 1 is 8 rows, u = 0 is 4 columns; centred at row 6 and column 12.
    images = torch.zeros(1, 1, 16, 16)
    u = numbers(ERASE=0.0, HEIGHT=1.0, CENTRE_Y=6 / 16, WIDTH=0.0, CENTRE_X=12 / 16)
    expected = torch.zeros(16, 16)
    expected[2:10, 10:14] = 127.5
    assert torch.equal(only(erase=1.0, erase_side=(0.25, 0.5))(images, u)[0, 0], expected)


def test_a_box_at_the_border_is_cut_off():
    u = numbers(ERASE=0.0, HEIGHT=1.0, CENTRE_Y=0.0, WIDTH=1.0, CENTRE_X=1 - 1e-6)
    grey = only(erase=1.0, erase_side=(0.25, 0.5))(torch.zeros(1, 1, 16, 16), u)[0, 0] == 127.5
    assert grey[:4, 12:].all()
    assert grey.sum() == 16


def test_each_face_is_erased_by_its_own_number():
    u = numbers(3)
    u[:, ERASE] = torch.tensor([0.0, 0.24, 0.25])
    result = only(erase=0.25)(torch.zeros(3, 1, 16, 16), u)
    assert result.amax((1, 2, 3)).tolist() == [127.5, 127.5, 0]


@pytest.mark.parametrize("value", [0, 255])
def test_values_stay_in_range(value):
    _, u = drawn(n=64)
    strong = BatchAugment(rotate=180, scale=0.9, translate=1, brightness=1, contrast=1, erase=1, erase_side=(0.5, 1))
    images = torch.full((64, 1, 12, 12), value, dtype=torch.uint8)
    images[:, :, ::2] = 128
    result = strong(images, u)
    assert result.min() >= 0
    assert result.max() <= 255
    assert result.isfinite().all()
    assert result.min() == 0 or result.max() == 255  # it would have gone beyond


def test_the_same_numbers_give_the_same_change():
    images, u = drawn()
    augment = BatchAugment()
    state = torch.get_rng_state()
    first = augment(images, u)
    assert torch.equal(augment(images, u), first)
    assert torch.equal(augment(images.float(), u), first)
    assert torch.equal(torch.get_rng_state(), state)  # it draws nothing itself
    assert not torch.allclose(augment(images, u.flip(1)), first, atol=1)


def test_a_face_is_changed_by_its_own_numbers_only():
    images, u = drawn()
    augment = BatchAugment()
    together = augment(images, u)
    for i in range(len(images)):
        alone = augment(images[i : i + 1], u[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], atol=1e-3, rtol=0)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(augment(images[order], u[order]), together[order], atol=1e-3, rtol=0)


def test_the_input_is_left_as_it_was():
    images, u = drawn()
    for batch in (images, images.float()):
        before = batch.clone()
        BatchAugment(erase=1.0)(batch, u)
        assert torch.equal(batch, before)


def test_the_memory_format_does_not_matter():
    images, u = drawn(c=3)
    result = BatchAugment()(images.contiguous(memory_format=torch.channels_last), u)
    torch.testing.assert_close(result, BatchAugment()(images, u), atol=1e-3, rtol=0)


def test_flips_and_boxes_come_as_often_as_asked():
    """Over 4,000 faces a share of 0.3 has a standard error of 0.007."""
    u = torch.from_numpy(np.random.default_rng(0).random((4000, BatchAugment.DRAWS), np.float32))
    images = torch.zeros(4000, 1, 8, 8)
    images[..., 0] = 255  # a bright left side
    result = only(flip=0.3)(images, u)
    assert float((result[:, 0, 4, 7] > 200).float().mean()) == pytest.approx(0.3, abs=0.03)
    # The centre of the box is uniform, so a box of side s covers the middle of the picture with probability s².
    grey = only(erase=0.6, erase_side=(0.5, 0.5))(torch.zeros(4000, 1, 9, 9), u)[:, 0, 4, 4] == 127.5
    assert float(grey.float().mean()) == pytest.approx(0.6 * 0.25, abs=0.03)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flip": 1.5}, "augment.batch.flip must be in [0, 1], got 1.5"),
        ({"rotate": -10}, "augment.batch.rotate must be in [0, 180], got -10"),
        ({"scale": 1.0}, "augment.batch.scale must be in [0, 0.9], got 1.0"),
        ({"translate": -0.1}, "augment.batch.translate must be in [0, 1], got -0.1"),
        ({"brightness": 25.0}, "augment.batch.brightness must be in [0, 1], got 25.0"),
        ({"contrast": float("nan")}, "augment.batch.contrast must be in [0, 1], got nan"),
        ({"erase": 2}, "augment.batch.erase must be in [0, 1], got 2"),
    ],
)
def test_strengths_of_no_use_are_refused(options, message):
    with pytest.raises(ConfigError) as caught:
        BatchAugment(**options)
    assert str(caught.value) == message


@pytest.mark.parametrize("sides", [(0.4, 0.125), (0.0, 0.4), (0.2, 1.5)])
def test_sides_of_no_use_are_refused(sides):
    with pytest.raises(ConfigError, match=r"erase_side must be the smallest and the largest side in \(0, 1\], got \["):
        BatchAugment(erase_side=sides)


# CameraAugment

(BLUR, ALONG, ACROSS, TURN, COARSE, STEP, GAMMA, SHADE, SIDE, STRENGTH, TOP, LEFT, SHARE) = range(12, 25)
CLEAR = {"share": 1.0, "blur": 0.0, "coarse": 0.0, "gamma": 1.0, "shade": 0.0, "noise": 0.0}


def seen(image, **options):
    """A face through a camera that does one thing alone, and uniform numbers that are 0.5 unless named."""
    columns = {name: value for name, value in options.items() if name.isupper()}
    settings = {name: value for name, value in options.items() if not name.isupper()}
    u = torch.full((len(image), CameraAugment.DRAWS), 0.5)
    for name, value in columns.items():
        u[:, globals()[name]] = value
    return CameraAugment(**(NOTHING | CLEAR | settings))(image, u)


def test_a_camera_uses_as_many_numbers_as_it_says():
    assert SHARE + 1 == CameraAugment.DRAWS


def test_a_perfect_camera_is_the_augmentation_alone():
    images, _ = drawn(c=3)
    u = torch.rand(6, CameraAugment.DRAWS)
    torch.testing.assert_close(CameraAugment(**CLEAR)(images, u), BatchAugment()(images, u), atol=1e-3, rtol=0)


def test_a_blur_is_a_gaussian_along_its_direction():
    """One deviation away along its direction a dot has exp(-1/2) of its middle; across there is none."""
    blurred = seen(dot(48, 24, 24), blur=1.0, blur_width=2 / 48, ALONG=1.0, ACROSS=0.0, TURN=0.0)[0, 0]
    assert float(blurred.sum()) == pytest.approx(200, rel=1e-4)
    assert float(blurred[24, 26] / blurred[24, 24]) == pytest.approx(math.exp(-0.5), rel=1e-4)
    assert float(blurred[25].abs().max()) == 0
    turned = seen(dot(48, 24, 24), blur=1.0, blur_width=2 / 48, ALONG=1.0, ACROSS=0.0, TURN=0.5)[0, 0]
    torch.testing.assert_close(turned, blurred.T, atol=1e-4, rtol=0)


def test_a_coarse_face_has_the_means_of_its_blocks():
    """At half the side a dot is spread over its block of 2×2, a quarter of it each, before it is enlarged again."""
    coarse = seen(dot(48, 24, 24), coarse=1.0, coarse_side=0.5, STEP=0.99)[0, 0]
    assert float(coarse.max()) == pytest.approx(200 / 4 * 0.75**2, abs=0.01)  # bilinear, a quarter of a block away
    assert float(coarse.sum()) == pytest.approx(200, rel=1e-3)


def test_gamma_and_light_from_a_side():
    grey = torch.full((1, 1, 3, 3), 63.75)  # a quarter
    assert float(seen(grey, gamma=2.0, GAMMA=1.0)[0, 0, 1, 1]) == pytest.approx(255 / 16, abs=0.05)
    assert float(seen(grey, gamma=2.0, GAMMA=0.0)[0, 0, 1, 1]) == pytest.approx(255 / 2, abs=0.05)
    lit = seen(grey, shade=0.5, SHADE=1.0, SIDE=0.0)[0, 0]
    torch.testing.assert_close(lit[1], 63.75 * torch.tensor([0.5, 1.0, 1.5]), atol=0.01, rtol=0)
    torch.testing.assert_close(lit[0], lit[2])


def test_noise_is_white_and_of_the_deviation_that_was_asked_for():
    grey = torch.full((64, 3, 48, 48), 127.5)
    u = torch.rand(64, CameraAugment.DRAWS, generator=torch.Generator().manual_seed(0))
    u[:, STRENGTH] = 1.0
    noise = CameraAugment(**(NOTHING | CLEAR | {"noise": 0.04}))(grey, u) - 127.5
    assert float(noise.std()) == pytest.approx(0.04 * 255, rel=0.05)
    assert abs(float(noise.mean())) < 0.3
    assert torch.equal(noise[:, 0], noise[:, 2])  # a dim sensor's grain is grey here
    assert float((noise[0] - noise[1]).abs().mean()) > 1  # each face has its own
    assert abs(float((noise[..., 1:] * noise[..., :-1]).mean())) < 0.05 * float(noise.var())


@pytest.mark.parametrize(
    ("options", "name"), [({"blur": 2}, "blur"), ({"gamma": 0.5}, "gamma"), ({"coarse_side": 0}, "coarse_side")]
)
def test_a_camera_that_means_nothing(options, name):
    with pytest.raises(ConfigError, match=f"augment.batch.{name} must be in"):
        CameraAugment(**options)


def test_a_share_of_the_faces_goes_through_the_camera_and_the_others_do_not():
    images = torch.full((4000, 1, 8, 8), 100.0)
    u = torch.rand(4000, CameraAugment.DRAWS, generator=torch.Generator().manual_seed(2))
    changed = CameraAugment(**(NOTHING | CLEAR | {"share": 0.3, "noise": 0.1}))(images, u)
    touched = (changed - 100).abs().amax((1, 2, 3)) > 0.01
    assert torch.equal(touched, u[:, SHARE] < 0.3)
    assert torch.equal(CameraAugment(**(NOTHING | {"share": 0.0}))(images, u), BatchAugment(**NOTHING)(images, u))


def test_all_of_a_camera_at_once_stays_in_range_and_is_a_function_of_its_numbers():
    images, _ = drawn(n=32, c=3)
    u = torch.rand(32, CameraAugment.DRAWS, generator=torch.Generator().manual_seed(1))
    one, two = (CameraAugment(share=1.0, blur=1.0, coarse=1.0)(images, u) for _ in range(2))
    assert torch.equal(one, two)
    assert one.min() >= 0
    assert one.max() <= 255
    apart = torch.cat(
        [CameraAugment(share=1.0, blur=1.0, coarse=1.0)(images[i : i + 1], u[i : i + 1]) for i in range(32)]
    )
    torch.testing.assert_close(apart, one, atol=1e-2, rtol=0)  # whoever is beside it in the batch
