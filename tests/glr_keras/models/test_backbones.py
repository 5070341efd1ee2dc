"""Frozen networks, their preprocessing and their weights."""

import gc
import http.server
import threading

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format  # the format of Keras' own files
from paths import SHARED

from glr_keras.config import FitConfig
from glr_keras.models.backbones import WeightsUnreachableError, build_backbone, hash_weights
from tfrecords.common.console import UserError

WEIGHTS = SHARED / "weights"
MEANS_BGR = (103.939, 116.779, 123.68)  # of ImageNet, what VGG16's weights were trained with


def random_photos(size, count=2):
    return np.random.default_rng(0).uniform(0, 255, (count, size, size, 3)).astype(np.float32)


def vgg16(**settings):
    settings = {"weights": "random", "image_size": 64, "precision": "float32"} | settings
    return build_backbone(FitConfig(**settings))


def numpy_vgg_blocks(photos, kernels):
    """Blocks of VGG16 in float64, by the definition: 3x3 cross-correlation, ReLU, 2x2 maximum."""
    signal = photos[..., ::-1].astype(np.float64) - MEANS_BGR
    for block, layers in enumerate((2, 2, 3), start=1):
        for layer in range(1, layers + 1):
            kernel, bias = kernels[f"block{block}_conv{layer}"]
            height, width = signal.shape[1:3]
            padded = np.pad(signal, ((0, 0), (1, 1), (1, 1), (0, 0)))
            signal = bias + sum(
                padded[:, i : i + height, j : j + width] @ kernel[i, j].astype(np.float64)
                for i in range(3)
                for j in range(3)
            )
            signal = np.maximum(signal, 0)
        photos, height, width, channels = signal.shape
        signal = signal.reshape(photos, height // 2, 2, width // 2, 2, channels).max((2, 4))
    return signal


def conv_layers(backbone):
    network = backbone.get_layer("vgg16")
    return [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]


def check_against_numpy(backbone, photos):
    kernels = {layer.name: layer.get_weights() for layer in conv_layers(backbone)}
    expected = numpy_vgg_blocks(photos, kernels)
    found = backbone.predict(photos, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * expected.max())


def test_vgg16_equals_an_independent_computation():
    backbone = vgg16(cut_layer="block3_pool", image_size=32)
    for layer in conv_layers(backbone):  # a bias of 0 would hide a bias that is lost
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel, bias + np.linspace(-0.5, 0.5, len(bias))])
    check_against_numpy(backbone, random_photos(32))


def test_vgg16_with_imagenet_weights_equals_an_independent_computation():
    path = WEIGHTS / "vgg16_blocks1to3.npz"
    if not path.exists():
        pytest.skip(f"needs ImageNet's weights of VGG16's first blocks in {path}")
    backbone = vgg16(cut_layer="block3_pool", image_size=96)
    with np.load(path) as stored:
        for layer in conv_layers(backbone):
            layer.set_weights([stored[f"{layer.name}/kernel"], stored[f"{layer.name}/bias"]])
    check_against_numpy(backbone, random_photos(96, count=3))


@pytest.mark.parametrize(
    ("name", "shape"), [("vgg16", (None, 2, 2, 512)), ("mobilenet_v2", (None, 2, 2, 1280))]
)
def test_backbones_are_frozen_and_give_maps(name, shape):
    backbone = vgg16(backbone=name)
    assert backbone.output_shape == shape
    assert backbone.trainable_variables == []
    photos = random_photos(64)
    training = backbone(photos, training=True)
    np.testing.assert_array_equal(training, backbone(photos, training=False))


def test_mobilenet_v2_sees_photos_scaled_to_minus_1_to_1():
    backbone = vgg16(backbone="mobilenet_v2")
    network = backbone.get_layer("mobilenetv2_1.00_64")
    photos = random_photos(64)
    np.testing.assert_allclose(backbone(photos), network(photos / 127.5 - 1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["vgg16", "mobilenet_v2"])
def test_random_weights_are_a_function_of_the_seed(name):
    first, again, other = (
        hash_weights(vgg16(backbone=name, seed=seed, image_size=32)) for seed in (3, 3, 4)
    )
    assert first == again != other


def test_random_vgg16_keeps_the_signal_through_the_depth():
    features = vgg16().predict(random_photos(64), verbose=0)
    assert 0.1 < features.std() < 10
    assert (features.std((0, 1, 2)) > 0).mean() > 0.9  # nearly all channels are alive


def test_bfloat16_computes_in_it_and_returns_float32():
    photos = random_photos(32)
    low, full = (vgg16(image_size=32, precision=p)(photos) for p in ("bfloat16", "float32"))
    assert low.dtype == full.dtype == "float32"
    difference = np.abs(np.subtract(low, full)).max()
    assert 0 < difference < 0.1 * np.abs(full).max()
    assert keras.config.dtype_policy().name == "float32"


def test_an_unknown_cut_layer_lists_the_layers():
    with pytest.raises(UserError, match=r"no such layer. It has: block1_conv1, block1_conv2"):
        vgg16(cut_layer="block9", image_size=32)


def test_a_missing_weights_file_says_what_is_expected():
    with pytest.raises(UserError, match="expected imagenet, random or a file"):
        vgg16(weights="nowhere.h5")


def test_weights_of_another_network_are_refused(tmp_path):
    path = tmp_path / "small.weights.h5"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save_weights(path)
    with pytest.raises(UserError, match="does not fit vgg16 without its top"):
        vgg16(weights=str(path))


def test_a_file_that_is_no_weights_is_refused(tmp_path):
    path = tmp_path / "text.h5"
    path.write_text("no weights")
    with pytest.raises(UserError, match="does not fit vgg16 without its top"):
        vgg16(weights=str(path))


def test_other_weights_of_the_right_network_load(tmp_path):
    path = tmp_path / "own.weights.h5"
    keras.utils.set_random_seed(7)
    keras.applications.VGG16(include_top=False, weights=None).save_weights(path)
    first, second = (vgg16(weights=str(path)) for _ in range(2))
    assert hash_weights(first) == hash_weights(second) != hash_weights(vgg16())


def test_features_of_several_depths_stand_side_by_side():
    photos = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    layers = ("block3_pool", "block4_conv3", "block4_pool")
    together = vgg16(image_size=64, feature_layers=",".join(layers), pooling="root")(photos)
    assert together.shape == (2, 4, 4, 256 + 512 + 512)
    alone = [vgg16(image_size=64, cut_layer=layer)(photos) for layer in layers]
    averages = np.concatenate([np.mean(features, (1, 2)) for features in alone], axis=-1)
    np.testing.assert_allclose(np.mean(together, (1, 2)), averages, rtol=1e-4, atol=1e-6)


def test_depths_whose_grids_do_not_fit_are_refused():
    with pytest.raises(UserError, match="the 5 x 5 cells of block4_pool are no multiple of 2 x 2"):
        vgg16(image_size=80, feature_layers="block4_pool,block5_pool", pooling="root")
    with pytest.raises(UserError, match="--feature-layers block9: vgg16 has no such layer"):
        vgg16(image_size=64, feature_layers="block9,block5_pool", pooling="root")


def leaves_a_socket(test):
    """Keras leaves a download's socket to the garbage collector; `weights_server` calls it."""
    test = pytest.mark.filterwarnings("ignore::ResourceWarning")(test)
    return pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")(test)


@pytest.fixture
def weights_server(tmp_path, monkeypatch):
    """Serves the files of a folder on loopback in place of Keras' own."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments, **settings):
            super().__init__(*arguments, directory=tmp_path, **settings)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr("keras.src.applications.mobilenet_v2.BASE_WEIGHT_PATH", address)
        monkeypatch.setattr("keras.src.applications.vgg16.WEIGHTS_PATH_NO_TOP", address + "vgg16")
        yield tmp_path
        server.shutdown()
    gc.collect()


@leaves_a_socket
def test_imagenet_weights_are_downloaded_once(weights_server):
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_96_no_top.h5"
    keras.utils.set_random_seed(1)
    network = keras.applications.MobileNetV2((96, 96, 3), include_top=False, weights=None)
    with h5py.File(weights_server / name, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)
    settings = {"backbone": "mobilenet_v2", "weights": "imagenet", "image_size": 96}
    first = hash_weights(vgg16(**settings))
    (weights_server / name).unlink()  # a second download would fail
    assert hash_weights(vgg16(**settings)) == first


@leaves_a_socket
@pytest.mark.parametrize("is_there", [True, False])
def test_a_download_that_fails_or_is_another_file_names_the_way_out(weights_server, is_there):
    if is_there:
        (weights_server / "vgg16").write_bytes(b"another file")
    with pytest.raises(WeightsUnreachableError) as error:
        vgg16(weights="imagenet")
    reason = "hash does not match" if is_there else "http://127.0.0.1"
    for part in ("vgg16 could not be downloaded", reason, "--weights FILE"):
        assert part in str(error.value)


@pytest.mark.parametrize(("image_size", "file_of"), [(128, 128), (192, 192), (200, 224)])
def test_mobilenet_asks_for_the_weights_of_its_image_size(image_size, file_of, monkeypatch):
    def get_file(name, origin, **_):
        raise OSError(f"asked for {origin}")

    monkeypatch.setattr("keras.src.applications.mobilenet_v2.file_utils.get_file", get_file)
    with pytest.raises(
        WeightsUnreachableError, match=rf"asked for http.*_1\.0_{file_of}_no_top\.h5"
    ):
        vgg16(backbone="mobilenet_v2", weights="imagenet", image_size=image_size)
