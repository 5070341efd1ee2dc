"""Photos in tar files: read exactly, refused where unsafe, and no cut or damage goes unnoticed."""

import gzip
import io
import multiprocessing
import os
import pickle
import re
import tarfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from random import Random

import pytest

from tfrecords.common.console import UserError
from tfrecords.common.types import Photo, Skipped
from tfrecords.sources import tars as tars_module
from tfrecords.sources.tars import open_tars

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
SPARSE = {  # how a tar marks a file with holes
    "0.1": {"GNU.sparse.map": "0,0", "GNU.sparse.size": "9", "GNU.sparse.numblocks": "1"},
    "1.0": {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "9"},
}


def photo(photo_id):
    return Photo(photo_id, "landmark")


def entry(name, size=0, **fields):
    info = tarfile.TarInfo(name)
    info.size = size
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def write_tar(path, entries, tar_format=tarfile.PAX_FORMAT):
    """Writes {name: bytes} or [TarInfo] as a tar; returns its path."""
    with tarfile.open(path, "w", format=tar_format) as tar:
        for item in entries:
            info = item if isinstance(item, tarfile.TarInfo) else entry(item, len(entries[item]))
            tar.addfile(info, io.BytesIO(b"" if info is item else entries[item]))
    return path


def hex_photos(count, start=0):
    """{a/b/c/<id>.jpg: bytes}, all of another length."""
    ids = (f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}" for number in range(start, start + count))
    return {
        f"{i[0]}/{i[1]}/{i[2]}/{i}.jpg": Random(n).randbytes(700 + 3 * n)
        for n, i in enumerate(ids, start)
    }


def photo_id_of(name):
    return name.rpartition("/")[2].removesuffix(".jpg")


@pytest.mark.parametrize("tar_format", FORMATS)
def test_photos_are_read_exactly(tar_format, tmp_path):
    entries = hex_photos(20)
    tars = open_tars(write_tar(tmp_path / "images_000.tar", entries, tar_format))
    assert {photo_id: tars.read(photo(photo_id)) for photo_id in tars} == {
        photo_id_of(name): data for name, data in entries.items()
    }
    assert len(tars) == 20
    assert list(tars) == sorted(tars)
    assert tars.skipped == []


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(
    ("name", "photo_id"),
    [
        ("./a/b/c/0123456789abcdef.jpg", "0123456789abcdef"),
        ("0123456789abcdef.jpg", "0123456789abcdef"),
        ("0123456789ABCDEF.JPG", "0123456789ABCDEF"),
        ("deep/er/than/that/x.jpeg", "x"),
        ("Tour Eiffel, 1889.jpg", "Tour Eiffel, 1889"),
        ("a/b.c.jpg", "b.c"),
        ("Zürich/Großmünster.jpg", "Großmünster"),
        ("東京.jpg", "東京"),
        ("n" * 180 + ".jpg", "n" * 180),
        ("folder/" * 40 + "far.jpg", "far"),
    ],
)
def test_odd_names_are_found(name, photo_id, tar_format, tmp_path):
    tars = open_tars(write_tar(tmp_path / "a.tar", {name: b"its bytes"}, tar_format))
    assert list(tars) == [photo_id]
    assert photo_id in tars
    assert tars.read(photo(photo_id)) == b"its bytes"


def test_an_empty_photo_is_there(tmp_path):
    tars = open_tars(write_tar(tmp_path / "a.tar", {"x.jpg": b"", "y.jpg": b"y"}))
    assert tars.read(photo("x")) == b""


def test_ids_that_no_tar_has_are_missing(tmp_path):
    tars = open_tars(write_tar(tmp_path / "a.tar", {"b.jpg": b"1", "bbb.jpg": b"2"}))
    for photo_id in ("", "a", "bb", "bbbb", "c", "b\0", "\udcff", "b.jpg"):
        assert photo_id not in tars
        with pytest.raises(FileNotFoundError):
            tars.read(photo(photo_id))
        with pytest.raises(FileNotFoundError):
            tars.stamp(photo(photo_id))


def test_other_entries_are_passed_over(tmp_path):
    folder = entry("a/", type=tarfile.DIRTYPE)
    names = ("README", "a/list.csv", "a/.hidden.jpg", "a/._x.jpg", "a/.jpg", "jpg", "a/x.jpg")
    tars = open_tars(write_tar(tmp_path / "a.tar", [folder, *map(entry, names)]))
    assert (list(tars), tars.skipped) == (["x"], [])


def test_unsafe_entries_are_refused_and_listed(tmp_path):
    entries = [
        entry("good.jpg"),
        entry("../up.jpg"),
        entry("a/../../up2.jpg"),
        entry("/etc/passwd"),
        entry("/absolute.jpg"),
        entry("soft.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        entry("hard.jpg", type=tarfile.LNKTYPE, linkname="good.jpg"),
        entry("pipe.jpg", type=tarfile.FIFOTYPE),
        entry("disk.jpg", type=tarfile.BLKTYPE),
        entry("tty.jpg", type=tarfile.CHRTYPE),
        entry("a/..b.jpg"),
        entry("new\nline.jpg"),
        entry("back\\slash.jpg"),
        entry("no\udcffutf8.jpg"),
    ]
    tars = open_tars(write_tar(tmp_path / "images_007.tar", entries, tarfile.GNU_FORMAT))
    assert list(tars) == ["good"]
    assert [(row.photo_id, row.reason, row.detail) for row in tars.skipped] == [
        ("../up.jpg", "unsafe archive entry", "`..` in images_007.tar"),
        ("a/../../up2.jpg", "unsafe archive entry", "`..` in images_007.tar"),
        ("/etc/passwd", "unsafe archive entry", "absolute path in images_007.tar"),
        ("/absolute.jpg", "unsafe archive entry", "absolute path in images_007.tar"),
        ("soft.jpg", "unsafe archive entry", "link in images_007.tar"),
        ("hard.jpg", "unsafe archive entry", "link in images_007.tar"),
        ("pipe.jpg", "unsafe archive entry", "device or special file in images_007.tar"),
        ("disk.jpg", "unsafe archive entry", "device or special file in images_007.tar"),
        ("tty.jpg", "unsafe archive entry", "device or special file in images_007.tar"),
        ("new\\nline", "unsafe name", "entry in images_007.tar"),
        ("back\\slash", "unsafe name", "entry in images_007.tar"),
        ("no\\udcffutf8", "unsafe name", "entry in images_007.tar"),
    ]


@pytest.mark.parametrize("version", SPARSE)
def test_sparse_files_are_refused(version, tmp_path):
    sparse = entry("holes.jpg", 512, pax_headers=SPARSE[version])
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(entry("good.jpg"))
        tar.addfile(sparse, io.BytesIO(b"1\n0\n0\n".ljust(512, b"\0")))  # the map of version 1.0
    tars = open_tars(tmp_path)
    assert list(tars) == ["good"]
    assert tars.skipped == [Skipped("holes.jpg", "unsafe archive entry", "sparse file in a.tar")]


def test_of_equal_ids_the_first_tar_by_name_wins(tmp_path):
    second = write_tar(tmp_path / "images_001.tar", {"x.jpg": b"second", "y.jpg": b"y"})
    third = write_tar(tmp_path / "images_002.tar", {"a/x.jpg": b"third"})
    first = write_tar(tmp_path / "images_000.tar", {"x.jpg": b"first", "b/x.jpeg": b"again"})
    for source in (tmp_path, [third, first, second], iter([second, third, first])):
        tars = open_tars(source)
        assert list(tars) == ["x", "y"]
        assert tars.read(photo("x")) == b"first"
        assert tars.read(photo("y")) == b"y"
        assert tars.skipped == [
            Skipped("x", "repeated id", "in images_000.tar, read from images_000.tar"),
            Skipped("x", "repeated id", "in images_001.tar, read from images_000.tar"),
            Skipped("x", "repeated id", "in images_002.tar, read from images_000.tar"),
        ]


@pytest.mark.parametrize("tar_format", FORMATS)
def test_every_cut_is_noticed(tar_format, tmp_path):
    long_name = "folder/" * 20 + "y.jpg"
    path = write_tar(tmp_path / "images_003.tar", {"x.jpg": b"x" * 600, long_name: b"y" * 100})
    whole = path.read_bytes()
    end = len(whole.rstrip(b"\0"))
    end += -end % 512  # here the end-of-archive mark begins
    cuts = {0, 1, end, *range(0, end, 64), *range(511, end, 512), *range(513, end, 512)}
    for cut in cuts:
        path.write_bytes(whole[:cut])
        with pytest.raises(
            UserError, match=r"images_003\.tar is (cut|no tar file).*Download it ag"
        ):
            open_tars(path)
    path.write_bytes(whole[: end + 512])  # a part of the mark is enough: no entry is lost
    assert list(open_tars(path)) == ["x", "y"]


@pytest.mark.parametrize(
    ("cut", "found"),
    [
        (0, r"is no tar file, or was cut in its first header: empty file; it begins with b''\."),
        (100, r"is no tar file, .*: truncated header; it begins with b'x\.jpg"),
        (600, r"got an entry of 600 bytes at byte 0\. Download it again\."),
        (1536, r"got no end-of-archive mark at byte 1,536\."),
        (1600, r"got half a header at byte 1,536\."),
        (2100, r"got an entry of 100 bytes at byte 1,536\."),
    ],
)
def test_a_cut_is_described(cut, found, tmp_path):
    entries = {"x.jpg": b"x" * 600, "y.jpg": b"y" * 100}
    path = write_tar(tmp_path / "a.tar", entries)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UserError, match=f"{re.escape(str(path))} .*{found}"):
        open_tars(path)


@pytest.mark.parametrize(
    ("position", "value", "found"),
    [
        (1536 + 148, b"000000", "a block that is no header at byte 1,536"),
        (1536, bytes(512), "an end-of-archive mark and 2,098,688 bytes after it at byte 1,536"),
    ],
)
def test_damage_between_entries_is_noticed(position, value, found, tmp_path):
    path = write_tar(tmp_path / "a.tar", {"x.jpg": b"x" * 600, "y.jpg": b"y" * 2097152})
    data = bytearray(path.read_bytes()[: 2 * 512 + 512 + 512 + 2097152 + 1024])
    data[position : position + len(value)] = value
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"cut short or damaged: .* got {found}\\. Download"):
        open_tars(path)


def test_a_negative_size_does_not_lead_round_in_circles(tmp_path):
    path = tmp_path / "a.tar"
    headers = entry("x.jpg").tobuf(), entry("y.jpg", -1024).tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(b"".join(headers) + bytes(10240))
    with pytest.raises(
        UserError, match=r"cut short or damaged: .* at byte 512\. Download it again"
    ):
        open_tars(path)


@pytest.mark.parametrize("size", [2**62, 2**64])
def test_an_impossible_size_is_noticed(size, tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(entry("x.jpg", size).tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    with pytest.raises(UserError, match=r"a\.tar is cut short or damaged"):
        open_tars(path)


@pytest.mark.parametrize(
    "data", [b"<!DOCTYPE html><html>404</html>", b"GIF89a" * 500, bytes(range(256)) * 9]
)
def test_what_is_no_tar_is_named(data, tmp_path):
    (tmp_path / "images_000.tar").write_bytes(data)
    begins = re.escape(repr(data[:16]))
    with pytest.raises(UserError, match=f"images_000.tar is no tar file, .* begins with {begins}"):
        open_tars(tmp_path)


@pytest.mark.parametrize(
    ("name", "mode", "tool", "plain"),
    [
        ("images_000.tar.gz", "w:gz", "gunzip", "images_000.tar"),
        ("images_000.tgz", "w:gz", "gunzip", "images_000.tar"),
        ("images_000.tar", "w:gz", "gunzip", "images_000-plain.tar"),
        ("images_000.tar.bz2", "w:bz2", "bunzip2", "images_000.tar"),
        ("images_000.tar.xz", "w:xz", "unxz", "images_000.tar"),
    ],
)
def test_compressed_tars_are_refused_with_what_unpacks_them(name, mode, tool, plain, tmp_path):
    write_tar(tmp_path / "z.tar", {"x.jpg": b"x"})
    with tarfile.open(tmp_path / name, mode) as tar:
        tar.addfile(entry("x.jpg"))
    command = re.escape(f"\n{tool} < {tmp_path / name} > {tmp_path / plain}")
    with pytest.raises(UserError, match=f"is compressed, so no photo .*{command}$"):
        open_tars(tmp_path)


def test_the_command_that_unpacks_works(tmp_path):
    plain = write_tar(tmp_path / "x.tar", {"x.jpg": b"x"}).read_bytes()
    folder = tmp_path / "with space"
    folder.mkdir()
    (folder / "a.tar.gz").write_bytes(gzip.compress(plain))
    with pytest.raises(UserError) as error:
        open_tars(folder)
    assert os.system(str(error.value).splitlines()[-1]) == 0
    assert (folder / "a.tar").read_bytes() == plain


def test_a_folder_without_tars_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"No folder .*missing\. Expected a folder with tar files"):
        open_tars(tmp_path / "missing")
    (tmp_path / "folder.tar").mkdir()
    (tmp_path / "._images_000.tar").write_bytes(b"left by a Mac")
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"No tar file in .* To fetch the first ten: --archives 0"):
        open_tars(tmp_path)


def test_missing_tars_are_named(tmp_path):
    with pytest.raises(UserError, match=r"Can't read .*images_009.tar \(No such file"):
        open_tars([tmp_path / "images_009.tar"])


def test_tars_without_photos_are_refused(tmp_path):
    write_tar(tmp_path / "empty.tar", {})
    write_tar(tmp_path / "text.tar", [entry("README"), entry("../x.jpg")])
    found = r"No photo in .*empty.tar, .*text.tar\. Expected .*, got none, and 1 that were refused"
    with pytest.raises(UserError, match=found):
        open_tars(tmp_path)


def test_an_empty_tar_among_others_is_fine(tmp_path):
    write_tar(tmp_path / "empty.tar", {})
    write_tar(tmp_path / "full.tar", {"x.jpg": b"x"})
    assert list(open_tars(tmp_path)) == ["x"]


def test_processes_and_threads_read_the_same_bytes(tmp_path):
    entries = {}
    for number in range(3):
        some = hex_photos(40, start=40 * number)
        write_tar(tmp_path / f"images_{number:03}.tar", some)
        entries |= some
    tars = open_tars(tmp_path)
    photos = [photo(photo_id_of(name)) for name in entries] * 5
    expected = list(entries.values()) * 5
    context = multiprocessing.get_context("spawn")
    with ThreadPoolExecutor(8) as threads, ProcessPoolExecutor(2, context) as processes:
        from_processes = processes.map(tars.read, photos, chunksize=50)
        assert list(threads.map(tars.read, photos)) == expected
        assert list(from_processes) == expected


def test_many_tars_are_listed_on_all_cores(tmp_path, monkeypatch):
    for number in range(4):
        write_tar(tmp_path / f"{number}.tar", {**hex_photos(5, start=5 * number), "x.jpg": b"x"})
    one_by_one = open_tars(tmp_path)
    monkeypatch.setattr(tars_module, "MIN_PARALLEL_TARS", 4)
    together = open_tars(tmp_path)
    assert together.skipped == one_by_one.skipped
    assert len(together.skipped) == 3
    stamps = [[tars.stamp(photo(i)) for i in tars] for tars in (together, one_by_one)]
    assert stamps[0] == stamps[1]
    assert len(stamps[0]) == 21
    (tmp_path / "2.tar").write_bytes(b"cut")
    with pytest.raises(UserError, match=r"2\.tar is no tar file"):
        open_tars(tmp_path)


def test_the_index_is_compact(tmp_path):
    entries = [entry(f"{number:016x}.jpg") for number in range(3000)]
    tars = open_tars(write_tar(tmp_path / "a.tar", entries, tarfile.USTAR_FORMAT))
    assert len(pickle.dumps(tars)) < 3000 * 37 + 2000  # 16 + 4 + 8 + 8 bytes each


def test_a_tar_replaced_after_listing_is_not_read(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"x.jpg": b"old"})
    before = open_tars(path)
    stamp = before.stamp(photo("x"))
    assert stamp == f"a.tar 10240 {path.stat().st_mtime_ns} 512"
    write_tar(path, {"x.jpg": b"new"})
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    with pytest.raises(UserError, match=r"a\.tar was changed or taken away while photos were read"):
        before.read(photo("x"))
    after = open_tars(path)
    assert after.read(photo("x")) == b"new"
    assert after.stamp(photo("x")) != stamp


def test_a_tar_taken_away_does_not_read_as_missing_photos(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"x.jpg": b"old"})
    tars = open_tars(path)
    path.unlink()
    with pytest.raises(UserError, match=r"a\.tar was changed or taken away .* Put it back"):
        tars.read(photo("x"))


def test_errors_reach_the_parent_of_a_reading_process(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"x.jpg": b"old"})
    tars = open_tars(path)
    path.unlink()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        failed = pool.submit(tars.read, photo("x"))
        with pytest.raises(UserError, match="was changed or taken away"):
            failed.result()
