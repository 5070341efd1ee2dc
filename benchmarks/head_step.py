"""What makes a training step of the 4096-4096 head fast: python benchmarks/head_step.py

The first layer has 103 million weights, 411 MB: a step on the CPU is bound by how often they, their
gradient and their momentum pass through memory. Each variant is a process of its own; it undoes
one thing that this project does, or adds one that it does not do.
"""

import argparse
import json
import os
import time
from dataclasses import replace

from measuring import peak_bytes, result_of
from show import print_context, show

VARIANTS = {
    "as it is": {},
    "without TensorFlow's memory pool": {"pool": False},
    "Keras' own SGD": {"keras_sgd": True},
    "with the gradient of the features": {"affine_norm": True},
    "all three": {"pool": False, "keras_sgd": True, "affine_norm": True},
    "jit_compile=True": {"jit": True},
    "batch of 128": {"batch": 128},
    "one thread": {"threads": 1},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        measure(args.steps, **json.loads(args.child))
        return
    print_context()
    rows = []
    for name, variant in VARIANTS.items():
        found = result_of(__file__, "--steps", args.steps, "--child", json.dumps(variant))
        print(
            f"{name}: {found['photos_per_second']:.0f} photos/s, "
            f"{found['cpu_ms_per_photo']:.1f} ms of processor time a photo, "
            f"{found['peak_gib']:.2f} GiB",
            flush=True,
        )
        rows.append((name, found["photos_per_second"]))
    show("head_step", "Training the 4096-4096 head on stored features", "photos/s", rows)


def measure(steps, pool=True, keras_sgd=False, affine_norm=False, jit=False, batch=32, threads=0):
    os.environ["TF_CPU_ALLOCATOR_USE_BFC"] = str(pool).lower()
    from tfrecords.common.console import start_tensorflow

    start_tensorflow()
    import keras
    import numpy as np
    import tensorflow as tf
    from settings import base_config

    from glr_keras.models.heads import build_head
    from glr_keras.models.objective import compile_model

    if threads:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    config = base_config(head="dropout")
    head = build_head(replace(config, normalize=not affine_norm), 27, (7, 7, 512))
    model = keras.Sequential([keras.layers.BatchNormalization(), head.branch])
    if not affine_norm:
        model = head
    compile_model(head, config, steps, jit_compile=jit)
    sgd = keras.optimizers.SGD(config.learning_rate, momentum=config.momentum)
    model.compile(
        optimizer=sgd if keras_sgd else head.optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=jit,
    )
    random = np.random.default_rng(0)
    features = random.random((batch, 7, 7, 512)).astype(np.float16)
    labels = random.integers(0, 27, batch)
    if model is head:
        labels = {"perception": labels}
    data = tf.data.Dataset.from_tensors((features, labels)).repeat()
    model.fit(data, steps_per_epoch=3, verbose=0)
    started, processor = time.perf_counter(), time.process_time()
    model.fit(data, steps_per_epoch=steps, verbose=0)
    result = {
        "photos_per_second": steps * batch / (time.perf_counter() - started),
        "cpu_ms_per_photo": (time.process_time() - processor) / steps / batch * 1000,
        "peak_gib": peak_bytes() / 2**30,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
