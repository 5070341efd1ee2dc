"""What a GPU makes of it, under JAX: python benchmarks/accelerator.py

Photos/s of VGG16's forward pass at 224 pixels and of an ABN training step on its features, in
bfloat16, each also as a fraction of what a plain matrix product in bfloat16 reaches on the same
device; and what that makes of an epoch of the student report of 2018, 123,391 photos in 65 minutes.
Needs the package jax with support for the device; TensorFlow is not imported, and nothing is read
or downloaded.
"""

import argparse
import os
import time

os.environ["KERAS_BACKEND"] = "jax"

import jax
import jax.numpy as jnp
import keras
import numpy as np
from measuring import random_photos
from settings import base_config
from show import print_context, show

from glr_keras.models.backbones import build_backbone
from glr_keras.models.heads import build_head
from glr_keras.models.objective import compile_model

VGG16_FLOP = 30.7e9  # of one photo's forward pass at 224 pixels
REPORT_PHOTOS, REPORT_SECONDS = 123_391, 65 * 60  # an epoch of the report
LANDMARKS = 27


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--matrix", type=int, default=8192, help="side of the plain product")
    parser.add_argument("--image-size", type=int, default=224)
    args = parser.parse_args()
    print_context()
    print(f"{jax.devices()[0].device_kind}, JAX {jax.__version__}, Keras {keras.__version__}")
    peak = product_flops(args.matrix, args.steps)
    print(f"plain bfloat16 product of {args.matrix}: {peak / 1e12:.3g} TFLOP/s", flush=True)
    scale = (args.image_size / 224) ** 2
    config = base_config(
        weights="random", precision="bfloat16", image_size=args.image_size, head_units=(512,)
    )
    backbone = build_backbone(config)
    forward = forward_rate(backbone, args)
    step, flop = step_rate(config, backbone.output_shape[1:], args)
    fractions = [
        ("VGG16 forward", forward * VGG16_FLOP * scale / peak),
        ("ABN step on features", step * flop / peak),
    ]
    print(f"VGG16 forward: {forward:,.0f} photos/s; ABN step: {step:,.0f} photos/s")
    live = REPORT_PHOTOS / forward + REPORT_PHOTOS / step
    print(
        f"The report's epoch took {REPORT_SECONDS / 60:.0f} minutes. Here: {live:.0f} s live, "
        f"{REPORT_PHOTOS / step:.0f} s on stored features (reading them not counted)."
    )
    show("accelerator", "Fraction of a plain bfloat16 matrix product", "fraction", fractions)


def product_flops(side, steps):
    matrix = jnp.ones((side, side), jnp.bfloat16)
    multiply = jax.jit(lambda a, b: a @ b)
    seconds = time_calls(lambda: multiply(matrix, matrix), steps)
    return 2 * side**3 / seconds


def forward_rate(backbone, args):
    photos = jnp.asarray(random_photos(args.batch, args.image_size, args.image_size, 3))
    trainable, others = backbone.trainable_variables, backbone.non_trainable_variables
    values = [v.value for v in trainable], [v.value for v in others]

    @jax.jit
    def forward(values, photos):
        features, _ = backbone.stateless_call(*values, photos, training=False)
        return features

    return args.batch / time_calls(lambda: forward(values, photos), args.steps)


def step_rate(config, feature_shape, args):
    """Returns photos/s of a training step of ABN, and its FLOP per photo."""
    with_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    head = build_head(config, LANDMARKS, feature_shape)
    keras.config.set_dtype_policy(with_policy)
    compile_model(head, config, args.steps)
    random = np.random.default_rng(0)
    features = random.random((args.batch, *feature_shape)).astype(np.float16)
    labels = dict.fromkeys(
        head.branches, random.integers(0, LANDMARKS, args.batch).astype(np.int32)
    )
    weights = sum(
        int(np.prod(v.shape)) * (feature_shape[0] * feature_shape[1] if v.ndim == 4 else 1)
        for v in head.trainable_variables
        if v.ndim > 1
    )
    seconds = time_calls(lambda: head.train_on_batch(features, labels), args.steps)
    return args.batch / seconds, 3 * 2 * weights  # forward, and twice as much backward


def time_calls(call, steps):
    """Seconds of a call, after two that compile and warm up."""
    for _ in range(2):
        jax.block_until_ready(call())
    started = time.perf_counter()
    for _ in range(steps):
        result = call()
    jax.block_until_ready(result)
    return (time.perf_counter() - started) / steps


if __name__ == "__main__":
    main()
