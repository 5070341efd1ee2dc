"""The commands and Python of README.md and docs/ run, one after the other, on a few demo photos.

Settings that only cost time are made small; what needs a network, several machines or Apache Beam
or serves until it is stopped is left out (tests of their own have it).
"""

import os
import shutil
import subprocess
import sys
import tarfile

import cv2
import numpy as np
import pytest
from doc_commands import PAGES, PYTHON_BLOCK, commands
from paths import REPOSITORY
from PIL import Image

pytestmark = pytest.mark.slow

LEFT_OUT = ("--download", "--archives", "--beam-runner", "/shared/data", "glr_keras.app", "--watch")
# Stand for what the reader has; the commands with them measure what a page states.
PLACEHOLDERS = {"RUN", "NEW", "FOLDER"}
TINY = ["--weights", "random", "--image-size", "32", "--epochs", "1"]
TINY_HEAD = ["--head-units", "8", "--attention-channels", "4"]


@pytest.fixture(scope="module")
def folder(demo_data, tmp_path_factory):
    """A folder with every file that the pages name."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(demo_data.parent / "photos", folder / "photos")
    landmark = max(path for path in (folder / "photos").iterdir() if path.is_dir())
    (folder / "new").mkdir()
    landmark.rename(folder / "new" / landmark.name)
    photos = sorted((folder / "photos").glob("*/*.jpg"))
    shutil.copytree(folder / "new", folder / "new_photos")
    others = ("negatives/c.jpg", "others/d.jpg")
    for name in ("photo.jpg", "a.jpg", "folder/b.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(photos[0], folder / name)
    Image.open(photos[0]).save(folder / "b.webp")
    for number, name in enumerate(others):
        (folder / name).parent.mkdir()
        Image.effect_noise((64, 64), 50 + number).save(folder / name)
    write_video(folder / "tour.mp4")
    (folder / "list.txt").write_text("photo.jpg\n")
    Image.open(photos[0]).convert("L").save(folder / "mask.png")
    np.save(folder / "map.npy", np.ones((1, 1)))  # 32 pixels: VGG16 makes one cell of them
    write_index(folder, photos)
    (folder / "DATA").symlink_to(folder / "data" / "mine")
    (folder / "runs").mkdir()
    (folder / "runs" / "demo").symlink_to("mine")  # the bare commands take a minute each
    return folder


def write_video(path):
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (64, 48))
    for _ in range(30):
        video.write(np.zeros((48, 64, 3), np.uint8))
    video.release()


def write_index(folder, photos):
    """Both kinds of index, with the photos in DIR as files and in a tar."""
    rows = [(f"{number:016x}", photo) for number, photo in enumerate(photos)]
    landmarks = {name: n for n, name in enumerate(sorted({photo.parent for photo in photos}))}
    lines = ["id,url,landmark_id"]
    (folder / "DIR").mkdir()
    with tarfile.open(folder / "DIR" / "images_000.tar", "w") as tar:
        for photo_id, photo in rows:
            lines.append(f"{photo_id},http://example.org/{photo_id}.jpg,{landmarks[photo.parent]}")
            shutil.copy(photo, folder / "DIR" / f"{photo_id}.jpg")
            tar.add(photo, "/".join([*photo_id[:3], f"{photo_id}.jpg"]))
    (folder / "train.csv").write_text("\n".join(lines) + "\n")
    ids = {n: [i for i, p in rows if landmarks[p.parent] == n] for n in landmarks.values()}
    clean = ["landmark_id,images", *(f"{n},{' '.join(group)}" for n, group in ids.items())]
    (folder / "train_clean.csv").write_text("\n".join(clean) + "\n")


def documented():
    """Yields the words of each distinct command to run, in the order of the pages."""
    seen = []
    for page in PAGES:
        for words in commands(page.read_text(encoding="utf-8")):
            is_run = words[1] == "-m" and words[3:] not in ([], ["--help"]) and words not in seen
            if is_run and words[2].startswith(("glr_keras", "tfrecords", "tuning")):
                seen.append(words)
                is_left_out = any(part in word for part in LEFT_OUT for word in words)
                if not is_left_out and PLACEHOLDERS.isdisjoint(words):
                    yield words


def shrunk(words, number):
    """Makes a command small, and gives it a folder of its own where the page names none."""
    module, flags = words[2], words[3:]
    if module == "tfrecords.build" and number:
        return [*flags, "--out", f"data/{number}"]
    if module == "glr_keras.fit" and "--finetune-from" not in flags:
        own = [] if "--run-dir" in flags else ["--run-dir", f"runs/{number}"]
        head = [] if {"--head", "--preset"} & set(flags) else TINY_HEAD
        return [*flags, *own, *([] if "--config" in flags else [*TINY, *head])]
    if module == "tuning.search":
        grid = ["--seeds", "1"] if "--alpha-beta-grid" in flags else []
        return [*flags, *TINY, *TINY_HEAD, "--max-trials", "2", *grid]
    return flags


def test_every_command_runs(folder):
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    # What is deleted is deleted last: each page is read by itself.
    for number, words in enumerate(sorted(documented(), key=lambda words: "delete" in words)):
        flags = shrunk(words, number)
        if "NAME" in flags:
            flags[flags.index("NAME")] = next((folder / "data/mine/features").glob("*/")).name
        done = subprocess.run(
            [sys.executable, "-m", words[2], *flags],
            cwd=folder,
            env=environment,
            input="photo.jpg\n",
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, (flags, done.stdout[-2000:], done.stderr[-2000:])


def test_every_python_block_runs(folder, monkeypatch):
    """After the commands: the run that they made is what the blocks load."""
    monkeypatch.chdir(folder)
    size = 32
    for page in PAGES:
        for block in PYTHON_BLOCK.findall(page.read_text(encoding="utf-8")):
            names = {
                "photos": np.zeros((2, size, size, 3), "float32"),
                "array": np.zeros((size, size, 3), "uint8"),
                "pil_image": Image.new("RGB", (size, size)),
            }
            if "model.json" in block:  # of an export to another runtime, which has tests of its own
                continue
            block = block.replace('head="abn"', 'head="abn", weights="random"')  # no network
            exec(compile(block, page.name, "exec"), names)
