"""Whatever is wrong with records is found, and named with its file and record."""

import hashlib
import io
import json
import shutil
import struct
import sys
from pathlib import Path

import pytest
from PIL import Image

from tfrecords import check as check_module
from tfrecords.common.console import UserError
from tfrecords.common.types import SPLITS
from tfrecords.validation.runner import check

TRAIN, VALIDATION, TEST = (f"google_landmarks-{split}.tfrecord-00000-of-00001" for split in SPLITS)
SHA256 = f"{TEST} has another sha256 than the manifest says"


@pytest.fixture
def data(demo_data, tmp_path):
    """A copy of the demo's records (30, 10 and 10 of 10 landmarks) to harm."""
    shutil.copytree(demo_data, tmp_path / "data", ignore=shutil.ignore_patterns("features"))
    return tmp_path / "data"


@pytest.fixture
def run_check(data, monkeypatch, capsys):
    """Runs the command on `data`; returns its exit code and the lines that name a finding."""

    def run(*flags):
        monkeypatch.setattr(sys, "argv", ["check", str(data), *flags])
        with pytest.raises(SystemExit) as exit_info:
            check_module.main()
        lines = capsys.readouterr().out.splitlines()
        return exit_info.value.code, [line.strip() for line in lines if line.startswith("  ")]

    return run


def starts(path):
    """Where each record's header begins, and where the file ends."""
    content, places = path.read_bytes(), [0]
    while places[-1] < len(content):
        (length,) = struct.unpack_from("<Q", content, places[-1])
        places.append(places[-1] + 12 + length + 4)
    return places


def flip(path, *places):
    content = bytearray(path.read_bytes())
    for place in places:
        content[place] ^= 0x40
    path.write_bytes(content)


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def edit_json(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def replace_text(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def read_examples(data, file):
    import tensorflow as tf

    dataset = tf.data.TFRecordDataset(str(data / file))
    return [tf.train.Example.FromString(record) for record in dataset.as_numpy_iterator()]


def write_examples(data, file, examples):
    """Writes a shard anew, and the tables as a build would have written them."""
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(data / file)) as writer:
        for example in examples:
            writer.write(example if isinstance(example, bytes) else example.SerializeToString())
    content = (data / file).read_bytes()

    def describe(manifest):
        shard = next(shard for shard in manifest["shards"] if shard["file"] == file)
        shard["records"] = manifest["photos"][shard["split"]] = len(examples)
        shard["bytes"], shard["sha256"] = len(content), hashlib.sha256(content).hexdigest()
        info = (data / "dataset_info.json").read_bytes()
        manifest["files"]["dataset_info.json"] = hashlib.sha256(info).hexdigest()

    def count(info):
        split = next(split for split in info["splits"] if f"-{split['name']}." in file)
        split["shardLengths"] = [str(len(examples))]

    edit_json(data / "dataset_info.json", count)
    edit_json(data / "manifest.json", describe)


def photo_id(example):
    return example.features.feature["photo_id"].bytes_list.value[0].decode()


def landmark_id(example):
    return example.features.feature["landmark_id"].bytes_list.value[0].decode()


def image(example):
    return example.features.feature["image"].bytes_list.value[0]


def set_image(example, jpeg):
    example.features.feature["image"].bytes_list.value[0] = jpeg


def encode(photo, **options):
    out = io.BytesIO()
    photo.save(out, **{"format": "JPEG", "quality": 92, **options})
    return out.getvalue()


def names(data, file, *numbers):
    """ "FILE, record 3 (bridge/1.jpg)" for each of these records."""
    examples = read_examples(data, file)
    return [f"{file}, record {number} ({photo_id(examples[number - 1])})" for number in numbers]


def test_healthy_records_pass(demo_data, run_python):
    done = run_python("-m", "tfrecords.check", demo_data)
    sizes = [(demo_data / file).stat().st_size / 1e6 for file in (TRAIN, VALIDATION, TEST)]
    assert done.stdout == (
        "split         shards     records  fraction  landmarks          MB\n"
        f"train              1          30     60.0%         10{sizes[0]:12.1f}\n"
        f"validation         1          10     20.0%         10{sizes[1]:12.1f}\n"
        f"test               1          10     20.0%         10{sizes[2]:12.1f}\n"
        f"Nothing is wrong with {demo_data}; every photo was decoded and compared.\n"
    )
    assert "50/50" in done.stderr
    assert done.returncode == 0


def test_neither_help_nor_check_needs_tensorflow(demo_data, run_python):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tfrecords.check import check, parse_args\n"
        "heavy = {'tensorflow', 'keras', 'tensorflow_datasets', 'google.protobuf'}\n"
        "assert not heavy & set(sys.modules), 'before'\n"
        f"assert not check(Path({str(demo_data)!r})).findings\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules), 'after'\n"
        "print('light')"
    )
    done = run_python("-c", code)
    assert (done.stdout, done.returncode) == ("light\n", 0), done.stderr


def test_quick_says_what_it_leaves_out(data, run_check, monkeypatch, capsys):
    assert run_check("--quick") == (0, [])
    monkeypatch.setattr(sys, "argv", ["check", str(data), "--quick"])
    with pytest.raises(SystemExit):
        check_module.main()
    assert "photos were not decoded.\n" in capsys.readouterr().out


# Files and framing: found by --quick too


def miss_shard(data):
    (data / TEST).unlink()
    return [f"{TEST} is missing"]


def add_shard(data):
    shutil.copy(data / TEST, data / "google_landmarks-test.tfrecord-00001-of-00002")
    return ["google_landmarks-test.tfrecord-00001-of-00002 is not in the manifest"]


def cut_between_records(data):
    size = (data / TEST).stat().st_size
    place = starts(data / TEST)[7]
    cut(data / TEST, place)
    return [
        f"{TEST} has {place:,} bytes, the manifest says {size:,}",
        f"{TEST}, records 8 to 10: not found",
    ]


def cut_in_header(data):
    size = (data / TEST).stat().st_size
    place = starts(data / TEST)[7] + 5
    cut(data / TEST, place)
    return [
        f"{TEST} has {place:,} bytes, the manifest says {size:,}",
        f"{TEST}, record 8: ends after 5 of the header's 12 bytes",
        f"{TEST}, records 9 to 10: not found",
    ]


def cut_in_data(data):
    size = (data / TEST).stat().st_size
    begin, end = starts(data / TEST)[7:9]
    cut(data / TEST, begin + 12 + 100)
    return [
        f"{TEST} has {begin + 112:,} bytes, the manifest says {size:,}",
        f"{TEST}, record 8: ends after 100 of the {end - begin - 12:,} bytes of data and checksum",
        f"{TEST}, records 9 to 10: not found",
    ]


def cut_in_last_checksum(data):
    size = (data / TEST).stat().st_size
    begin, end = starts(data / TEST)[9:]
    cut(data / TEST, size - 1)
    held = end - begin - 12
    return [
        f"{TEST} has {size - 1:,} bytes, the manifest says {size:,}",
        f"{TEST}, record 10: ends after {held - 1:,} of the {held:,} bytes of data and checksum",
    ]


def cut_last_record(data):
    size = (data / TEST).stat().st_size
    place = starts(data / TEST)[9]
    cut(data / TEST, place)
    return [
        f"{TEST} has {place:,} bytes, the manifest says {size:,}",
        f"{TEST}, record 10: not found",
    ]


def empty_shard(data):
    size = (data / TEST).stat().st_size
    cut(data / TEST, 0)
    return [
        f"{TEST} has 0 bytes, the manifest says {size:,}",
        f"{TEST}, records 1 to 10: not found",
    ]


def flip_length(data):
    flip(data / TEST, starts(data / TEST)[2])
    return [
        SHA256,
        f"{TEST}, record 3: its length is damaged",
        f"{TEST}, records 4 to 10: not found",
    ]


def flip_high_byte_of_length(data):
    flip(data / TEST, starts(data / TEST)[2] + 7)
    return [
        SHA256,
        f"{TEST}, record 3: its length is damaged",
        f"{TEST}, records 4 to 10: not found",
    ]


def flip_checksum_of_length(data):
    found = names(data, TEST, 3, 10)
    places = starts(data / TEST)
    flip(data / TEST, places[2] + 8, places[9] + 11)
    return [SHA256, *(f"{name}: its length does not fit the length's checksum" for name in found)]


def flip_data(data):
    found = names(data, TEST, 3, 4, 10)
    places = starts(data / TEST)
    # In the middle of a record is its image, so that the photo_id can still be read.
    flip(data / TEST, *((places[number - 1] + places[number]) // 2 for number in (3, 4, 10)))
    return [SHA256, *(f"{name}: the data do not fit their checksum" for name in found)]


def flip_checksum_of_data(data):
    found = names(data, TEST, 1)
    flip(data / TEST, starts(data / TEST)[1] - 1)
    return [SHA256, f"{found[0]}: the data do not fit their checksum"]


def flip_structure(data):
    """The first byte of a message says what follows: without it not even the photo_id is known."""
    flip(data / TEST, starts(data / TEST)[4] + 12)
    return [SHA256, f"{TEST}, record 5: the data do not fit their checksum"]


def add_record(data):
    content = (data / TEST).read_bytes()
    end = starts(data / TEST)[1]
    (data / TEST).write_bytes(content + content[:end])
    return [
        f"{TEST} has {len(content) + end:,} bytes, the manifest says {len(content):,}",
        f"{TEST} holds 11 records, the manifest says 10",
    ]


FILE_HARMS = [
    miss_shard,
    add_shard,
    cut_between_records,
    cut_in_header,
    cut_in_data,
    cut_in_last_checksum,
    cut_last_record,
    empty_shard,
    flip_length,
    flip_high_byte_of_length,
    flip_checksum_of_length,
    flip_data,
    flip_checksum_of_data,
    flip_structure,
    add_record,
]


@pytest.mark.parametrize("harm", FILE_HARMS)
def test_damaged_files_are_named_with_their_records(data, run_check, harm):
    expected = harm(data)
    assert run_check("--quick") == (1, expected)


@pytest.mark.parametrize("harm", [cut_in_header, flip_data])
def test_the_whole_check_reports_damage_once(data, run_check, harm):
    expected = harm(data)
    assert run_check() == (1, expected)


def test_processes_find_the_same(data, run_check):
    expected = flip_data(data)
    assert run_check("--processes", "2") == (1, expected)


def test_a_flipped_byte_is_found_though_the_manifest_was_written_after_it(data, run_check):
    _, expected = flip_checksum_of_data(data)

    def describe(manifest):
        manifest["shards"][2]["sha256"] = hashlib.sha256((data / TEST).read_bytes()).hexdigest()

    edit_json(data / "manifest.json", describe)
    assert run_check("--quick") == (1, [expected])


def test_a_kind_of_finding_is_listed_twenty_times_and_then_counted(data, monkeypatch, capsys):
    places = starts(data / TRAIN)
    flip(data / TRAIN, *(place - 1 for place in places[1:]))
    monkeypatch.setattr(sys, "argv", ["check", str(data)])
    with pytest.raises(SystemExit, match="1"):
        check_module.main()
    printed = capsys.readouterr().out
    assert printed.startswith(f"Wrong with {data}: 31 in all; records are counted from 1.\n")
    assert printed.count(": the data do not fit their checksum\n") == 20
    assert "takes the shard for complete: 30\n" in printed
    assert "  ... and 10 more\n" in printed


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file that can't be read")
def test_a_shard_that_the_disk_does_not_give(data, run_check):
    size = (data / TEST).stat().st_size
    (data / TEST).unlink()
    (data / TEST).symlink_to("/proc/self/mem")
    assert run_check() == (
        1,
        [
            f"{TEST} has 0 bytes, the manifest says {size:,}",
            f"{TEST} can't be read (Input/output error)",
            f"{TEST}, records 1 to 10: not found",
        ],
    )


# Tables


def test_without_a_manifest_that_can_be_read_nothing_else_is_checked(data, monkeypatch, capsys):
    (data / "manifest.json").write_text("{")
    flip_data(data)
    monkeypatch.setattr(sys, "argv", ["check", str(data)])
    with pytest.raises(SystemExit, match="1"):
        check_module.main()
    assert capsys.readouterr().out == (
        f"Wrong with {data}: 1 in all; records are counted from 1.\n\n"
        "tables that are missing, unreadable or not those that were built: 1\n"
        "  manifest.json can't be read (JSONDecodeError: Expecting property name enclosed in "
        "double quotes: line 1 column 2 (char 1))\n\n"
        "Without the manifest nothing else could be checked.\n"
        "Build the records again with python -m tfrecords.build, or copy them once more from where "
        "they are whole.\n"
    )


TABLES = ["dataset_info.json", "features.json", "label.labels.txt", "landmarks.csv", "skipped.csv"]


@pytest.mark.parametrize("file", TABLES)
def test_tables_that_are_not_those_that_were_built(data, run_check, file):
    with open(data / file, "a", encoding="utf-8", newline="") as table:
        table.write("\n")
    assert run_check("--quick") == (1, [f"{file} has another sha256 than the manifest says"])


def test_tables_of_an_earlier_version_have_no_sha256(data, run_check):
    edit_json(
        data / "manifest.json", lambda manifest: [manifest.pop(k) for k in ("files", "versions")]
    )
    assert run_check() == (0, [])


def test_a_manifest_without_shards(data, run_check):
    edit_json(data / "manifest.json", lambda manifest: manifest.update(shards=[]))
    assert run_check() == (1, ["manifest.json can't be read (ValueError: it lists no shard)"])


@pytest.mark.parametrize("file", TABLES)
def test_missing_tables(data, run_check, file):
    (data / file).unlink()
    assert run_check() == (1, [f"{file} is missing"])


@pytest.mark.parametrize(
    ("file", "old", "new", "error"),
    [
        ("manifest.json", "{", "", "JSONDecodeError: Extra data: line 2 column 11 (char 11)"),
        ("manifest.json", '"shards"', '"sherds"', "KeyError: 'shards'"),
        ("manifest.json", '"records": 30', '"records": "many"', "ValueError: invalid literal for"),
        ("landmarks.csv", "\n1,", "\n2,", "ValueError: expected labels that count up from 0"),
        ("landmarks.csv", "validation", "dev", "KeyError: 'validation'"),
        ("landmarks.csv", "label", "\xff", "KeyError: 'label'"),
    ],
)
def test_unreadable_tables(data, run_check, file, old, new, error):
    replace_text(data / file, old, new)
    _, lines = run_check()
    assert lines[0].startswith(f"{file} can't be read ({error}")


def test_tables_that_are_no_text(data, run_check):
    (data / "landmarks.csv").write_bytes(b"\xff\xfe")
    code, lines = run_check()
    assert code == 1
    assert lines[0].startswith("landmarks.csv can't be read (UnicodeDecodeError: 'utf-8' codec")


# What a record holds


def drop_feature(example):
    del example.features.feature["landmark_id"]
    return "landmark_id: missing"


def add_feature(example):
    example.features.feature["url"].bytes_list.value.append(b"https://example.org")
    return "unknown feature url"


def change_type(example):
    example.features.feature["label"].float_list.value.append(1.0)
    return "label: expected 1 in its int64_list, got 1 in float_list"


def change_count(example):
    del example.features.feature["box"].float_list.value[3]
    return "box: expected 4 in its float_list, got 3 in float_list"


def empty_landmark_id(example):
    example.features.feature["landmark_id"].bytes_list.value[0] = b""
    return "landmark_id: empty"


def truncate_image(example):
    jpeg = image(example)
    set_image(example, jpeg[: len(jpeg) // 2])
    return "no whole JPEG (its end is missing)"


def drop_end_of_image(example):
    set_image(example, image(example)[:-2])
    return "no whole JPEG (its end is missing)"


def break_tables(example):
    """The Huffman tables of a JPEG follow the marker ff c4."""
    jpeg = image(example)
    place = jpeg.index(b"\xff\xc4") + 5
    set_image(example, jpeg[:place] + b"\xff" * 16 + jpeg[place + 16 :])
    return "no whole JPEG (broken data stream"


def store_png(example):
    set_image(example, encode(Image.open(io.BytesIO(image(example))), format="PNG"))
    return "no whole JPEG (cannot identify image file)"


def store_nothing(example):
    set_image(example, b"")
    return "no whole JPEG (cannot identify image file)"


def store_grey(example):
    set_image(example, encode(Image.open(io.BytesIO(image(example))).convert("L")))
    return "expected an RGB JPEG, got JPEG in L"


def store_large(example):
    photo = Image.open(io.BytesIO(image(example)))
    set_image(example, encode(photo.resize((258, 257))))
    return "short side of 257 pixels, expected at most 256"


def store_turned(example):
    exif = Image.Exif()
    exif[0x0112] = 6
    set_image(example, encode(Image.open(io.BytesIO(image(example))), exif=exif.tobytes()))
    return "its EXIF has orientation 6, which TensorFlow does not apply"


def set_label_out_of_range(example):
    example.features.feature["label"].int64_list.value[0] = 10
    return "label 10, expected 0 to 9"


def set_negative_label(example):
    example.features.feature["label"].int64_list.value[0] = -1
    return "label -1, expected 0 to 9"


def set_box(example, *sides):
    example.features.feature["box"].float_list.value[:] = sides


def leave_image_with_box(example):
    set_box(example, 0.0, 0.0, 0.5, 1.5)
    return "expected 0 <= ymin <= ymax <= 1 and so for x, got the box (0, 0, 0.5, 1.5)"


def turn_box_round(example):
    set_box(example, 0.75, 0.0, 0.5, 1.0)
    return "expected 0 <= ymin <= ymax <= 1 and so for x, got the box (0.75, 0, 0.5, 1)"


def set_box_to_nan(example):
    set_box(example, 0.0, float("nan"), 0.5, 1.0)
    return "expected 0 <= ymin <= ymax <= 1 and so for x, got the box (0, nan, 0.5, 1)"


RECORD_HARMS = [
    drop_feature,
    add_feature,
    change_type,
    change_count,
    empty_landmark_id,
    truncate_image,
    drop_end_of_image,
    break_tables,
    store_png,
    store_nothing,
    store_grey,
    store_large,
    store_turned,
    set_label_out_of_range,
    set_negative_label,
    leave_image_with_box,
    turn_box_round,
    set_box_to_nan,
]


@pytest.mark.parametrize("harm", RECORD_HARMS)
def test_records_that_hold_something_else_are_named(data, run_check, harm):
    examples = read_examples(data, VALIDATION)
    name = f"{VALIDATION}, record 6 ({photo_id(examples[5])})"
    text = harm(examples[5])
    write_examples(data, VALIDATION, examples)
    code, lines = run_check()
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith(f"{name}: {text}")


def test_a_label_of_another_landmark(data, run_check):
    examples = read_examples(data, VALIDATION)
    labels = [example.features.feature["label"].int64_list.value for example in examples]
    other = next(i for i, label in enumerate(labels) if label[0] != labels[0][0])
    labels[0][0] = labels[other][0]
    write_examples(data, VALIDATION, examples)
    landmarks = landmark_id(examples[other]), landmark_id(examples[0])
    name = f"{VALIDATION}, record 1 ({photo_id(examples[0])})"
    label = f"label {labels[0][0]} is that of {landmarks[0]}, not of {landmarks[1]}"
    assert run_check() == (1, [f"{name}: {label}"])


def test_a_record_that_is_no_example(data, run_check):
    examples = read_examples(data, TEST)
    write_examples(data, TEST, [*examples[:9], b"\xff not an example"])
    code, lines = run_check()
    assert (code, len(lines)) == (1, 1)
    assert lines[0].startswith(f"{TEST}, record 10: no tf.train.Example (")


def test_an_id_that_is_no_utf8(data, run_check):
    examples = read_examples(data, TEST)
    name = f"{TEST}, record 1"
    examples[0].features.feature["photo_id"].bytes_list.value[0] = b"\xff.jpg"
    write_examples(data, TEST, examples)
    text = "photo_id: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"
    assert run_check() == (1, [f"{name}: {text}"])


def test_a_finding_is_one_line_whatever_a_photo_is_called(data, run_check):
    examples = read_examples(data, TEST)
    examples[0].features.feature["photo_id"].bytes_list.value[0] = b"a\nb\x1b[2J.jpg"
    text = turn_box_round(examples[0])
    write_examples(data, TEST, examples)
    assert run_check() == (1, [f"{TEST}, record 1 (a\\nb\\x1b[2J.jpg): {text}"])


# What shows only over all records


def test_a_photo_id_that_stands_in_two_splits(data, run_check):
    train, test = read_examples(data, TRAIN), read_examples(data, TEST)
    test[2].features.feature["photo_id"].bytes_list.value[0] = photo_id(train[4]).encode()
    write_examples(data, TEST, test)
    name = photo_id(train[4])
    text = f"{TEST}, record 3 ({name}) repeats the photo_id of {TRAIN}, record 5 ({name})"
    assert run_check() == (1, [text])


def same_landmark(examples, landmark):
    return next(i for i, example in enumerate(examples) if landmark_id(example) == landmark)


def test_copies_in_another_split(data, run_check):
    """One photo stands in train and test, a re-encoded and smaller one in train and validation."""
    train, validation, test = (read_examples(data, file) for file in (TRAIN, VALIDATION, TEST))
    exact, near = 0, next(i for i, e in enumerate(train) if landmark_id(e) != landmark_id(train[0]))
    in_test = same_landmark(test, landmark_id(train[exact]))
    in_validation = same_landmark(validation, landmark_id(train[near]))
    set_image(test[in_test], image(train[exact]))
    photo = Image.open(io.BytesIO(image(train[near])))
    smaller = photo.resize([side * 3 // 4 for side in photo.size])
    set_image(validation[in_validation], encode(smaller, quality=70))
    write_examples(data, VALIDATION, validation)
    write_examples(data, TEST, test)
    places = (
        *names(data, TEST, in_test + 1),
        *names(data, VALIDATION, in_validation + 1),
        *names(data, TRAIN, exact + 1, near + 1),
    )
    code, lines = run_check()
    assert code == 1
    assert sorted(lines) == sorted(
        [
            f"{places[0]} is the same photo as {places[2]}: one in test, one in train",
            f"{places[1]} is a near-duplicate of {places[3]}: one in validation, one in train",
        ]
    )


def test_copies_in_a_pre_split_folder(data, monkeypatch, capsys):
    train, test = read_examples(data, TRAIN), read_examples(data, TEST)
    set_image(test[same_landmark(test, landmark_id(train[0]))], image(train[0]))
    write_examples(data, TEST, test)
    edit_json(data / "manifest.json", lambda manifest: manifest.update(split="as given"))
    monkeypatch.setattr(sys, "argv", ["check", str(data)])
    with pytest.raises(SystemExit, match="1"):
        check_module.main()
    advice = (
        "\nThe folder was split already: take such copies out of all its splits but one.\nBuild the"
    )
    assert advice in capsys.readouterr().out


def test_copies_under_another_landmark(data, run_check):
    train = read_examples(data, TRAIN)
    other = next(i for i, e in enumerate(train) if landmark_id(e) != landmark_id(train[0]))
    set_image(train[other], encode(Image.open(io.BytesIO(image(train[0]))), quality=70))
    write_examples(data, TRAIN, train)
    first, second = names(data, TRAIN, 1, other + 1)
    landmarks = f"landmarks {landmark_id(train[other])} and {landmark_id(train[0])}"
    assert run_check() == (1, [f"{second} is a near-duplicate of {first}: {landmarks}"])


def test_a_photo_twice_in_one_split(data, run_check):
    train = read_examples(data, TRAIN)
    again = 1 + same_landmark(train[1:], landmark_id(train[0]))
    set_image(train[again], image(train[0]))
    write_examples(data, TRAIN, train)
    first, second = names(data, TRAIN, 1, again + 1)
    assert run_check() == (1, [f"{second} is the same photo as {first}"])


# The user's mistakes, and the parts


def test_a_folder_that_is_no_records(tmp_path):
    with pytest.raises(UserError, match=r"No folder .*nowhere. Expected one that `python -m tfrec"):
        check(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"holds no manifest.json: .* Name the folder that was"):
        check(tmp_path)


def test_a_format_of_the_future(data):
    edit_json(data / "manifest.json", lambda manifest: manifest.update(format=2))
    with pytest.raises(UserError, match=r"manifest.json is of format 2, expected 1. Check these"):
        check(data)


def test_no_process_is_too_few(data):
    with pytest.raises(UserError, match="--processes must be at least 1, got 0"):
        check(data, processes=0)


def test_a_mistake_exits_with_2(tmp_path, run_python):
    done = run_python("-m", "tfrecords.check", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"\nerror: {tmp_path} holds no manifest.json")
