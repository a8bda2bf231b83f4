"""A user's own folders of images and of recordings: each case is read right, or refused with the remedy."""

import importlib.util
import math
import os
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import scipy
import sklearn
from PIL import Image
from scipy.io import wavfile

from tests.helpers import datafiles
from tests.helpers.launches import registries_restored, run_cli_in_process
from tune_kmixup.core.errors import BadInput
from tune_kmixup.core.source import Source
from tune_kmixup.data import audio
from tune_kmixup.data.folders import read_folder
from tune_kmixup.data.tables import Table

Write = Callable[[Path], None]


def read(folder: Path, resize: int = 0) -> Table:
    return read_folder(Source(str(folder), resize=resize))


# Images


def save(path: Path, pixels: object, mode: str | None = None, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(pixels)) if mode is None else Image.new(mode, (4, 4), pixels)  # type: ignore[arg-type]
    image.save(path, **options)


def filled(colour: Any, mode: str, **options: Any) -> Write:
    """Writes an image of 4 x 4 pixels of one colour."""
    return lambda path: save(path, colour, mode, **options)


def save_palette(path: Path, transparent: bool = False) -> None:
    image = Image.new("RGB", (4, 4), (1, 2, 3)).quantize()
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **({"transparency": image.getpixel((0, 0))} if transparent else {}))


def save_frames(path: Path) -> None:
    """Two pictures in one file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (1, 2, 3)).save(path, save_all=True, append_images=[Image.new("RGB", (4, 4), "red")])


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[274] = orientation
    return found


def grey(value: int) -> Any:
    return np.full((1, 4, 4), value)


def colour(red: int, green: int, blue: int) -> Any:
    return np.full((4, 4, 3), (red, green, blue)).transpose(2, 0, 1)


RAMP = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
GREY16 = (np.arange(16, dtype=np.uint16) * 4369).reshape(4, 4)  # black to white in 16 bits
GREY8 = (GREY16 // 257).astype(np.uint8)
CLEAR = b"\x00" * 16 + b"\xff" * 8

IMAGES: dict[str, tuple[str, Write, Any]] = {
    "grey.png": ("grey.png", filled(7, "L"), grey(7)),
    "grey.bmp": ("grey.bmp", filled(7, "L"), grey(7)),
    "grey.pgm": ("grey.pgm", filled(7, "L"), grey(7)),
    "grey.jp2": ("grey.jp2", filled(7, "L"), grey(7)),
    "grey.gif": ("grey.gif", filled(7, "L"), grey(7)),
    "grey.jpg": ("grey.jpg", filled(7, "L"), grey(7)),
    "bits.png": ("bits.png", lambda path: save(path, np.eye(4, dtype=bool)), np.eye(4, dtype=np.uint8)[None] * 255),
    "bits.pbm": ("bits.pbm", lambda path: save(path, np.eye(4, dtype=bool)), np.eye(4, dtype=np.uint8)[None] * 255),
    "bits.tif": ("bits.tif", lambda path: save(path, np.eye(4, dtype=bool)), np.eye(4, dtype=np.uint8)[None] * 255),
    "16 bits.png": ("sixteen.png", lambda path: save(path, GREY16), GREY8[None]),
    "16 bits.tiff": ("sixteen.tiff", lambda path: save(path, GREY16), GREY8[None]),
    "16 bits.pgm": ("sixteen.pgm", lambda path: save(path, GREY16), GREY8[None]),
    "16 bits, big-endian.tiff": ("big.tiff", lambda path: save(path, GREY16.astype(">u2")), GREY8[None]),
    "turned right": ("turned.png", lambda path: save(path, RAMP, exif=exif(6)), np.rot90(RAMP, -1)[None]),
    "turned left": ("turned.png", lambda path: save(path, RAMP, exif=exif(8)), np.rot90(RAMP)[None]),
    "upside down": ("turned.png", lambda path: save(path, RAMP, exif=exif(3)), np.rot90(RAMP, 2)[None]),
    "mirrored.tiff": ("turned.tiff", lambda path: save(path, RAMP, exif=exif(2)), RAMP[None, :, ::-1]),
    "grey with alpha": ("alpha.png", filled((10, 0), "LA"), grey(255)),
    "colour.png": ("colour.png", filled((1, 2, 3), "RGB"), colour(1, 2, 3)),
    "colour.ppm": ("colour.ppm", filled((1, 2, 3), "RGB"), colour(1, 2, 3)),
    "colour.tiff, packed": ("colour.tiff", filled((1, 2, 3), "RGB", compression="tiff_lzw"), colour(1, 2, 3)),
    "colour.webp": ("colour.webp", filled((1, 2, 3), "RGB", lossless=True), colour(1, 2, 3)),
    "colour.jfif": ("colour.jfif", filled((9, 9, 9), "RGB", format="JPEG"), colour(9, 9, 9)),
    "COLOUR.JPEG": ("COLOUR.JPEG", filled((9, 9, 9), "RGB"), colour(9, 9, 9)),
    "UPPER.PNG": ("UPPER.PNG", filled((1, 2, 3), "RGB"), colour(1, 2, 3)),
    "wrong suffix": ("really_png.jpg", filled((1, 2, 3), "RGB", format="PNG"), colour(1, 2, 3)),
    "transparent": ("clear.png", filled((9, 9, 9, 0), "RGBA"), colour(255, 255, 255)),
    "half transparent": ("half.png", filled((0, 0, 0, 128), "RGBA"), colour(127, 127, 127)),
    "transparent colour": ("key.png", filled((9, 9, 9), "RGB", transparency=(9, 9, 9)), colour(255, 255, 255)),
    "palette.gif": ("palette.gif", save_palette, colour(1, 2, 3)),
    "palette.png": ("palette.png", save_palette, colour(1, 2, 3)),
    "clear palette": ("palette.png", lambda path: save_palette(path, transparent=True), colour(255, 255, 255)),
    "cmyk.tiff": ("cmyk.tiff", filled((0, 0, 0, 255), "CMYK"), colour(0, 0, 0)),
    "cmyk.jpg": ("cmyk.jpg", filled((0, 0, 0, 255), "CMYK"), colour(0, 0, 0)),
    "a folder below": ("deep/down/below.png", filled(7, "L"), grey(7)),
    "blanks and accents": ("été 1.png", filled(7, "L"), grey(7)),
}


@pytest.mark.parametrize("case", IMAGES)
def test_an_image_is_read_as_a_viewer_shows_it(case: str, tmp_path: Path) -> None:
    name, write, expected = IMAGES[case]
    for folder in ("a", "b"):
        write(tmp_path / folder / name)
    x = read(tmp_path).arrays["x"]
    assert x.dtype == np.uint8 and len(x) == 2
    assert np.array_equal(x[0], expected)


def of_package(module: Any, path: str) -> Path:
    """A file that an installed package ships."""
    return Path(module.__file__).parent / path


@pytest.mark.parametrize(
    ("path", "mean"),  # of all pixels, on white where they are transparent
    [
        (of_package(sklearn, "datasets/images/china.jpg"), 143.7),
        (of_package(sklearn, "datasets/images/flower.jpg"), 61.9),
        (of_package(matplotlib, "mpl-data/sample_data/grace_hopper.jpg"), 80.4),
        (of_package(matplotlib, "mpl-data/sample_data/logo2.png"), 215.6),
        (of_package(matplotlib, "mpl-data/images/matplotlib.png"), 216.6),
        (of_package(scipy, "ndimage/tests/dots.png"), 221.9),
    ],
    ids=lambda value: value.name if isinstance(value, Path) else "",
)
def test_real_images(path: Path, mean: float, tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / path.name).symlink_to(path)
    x = read(tmp_path, resize=32).arrays["x"]
    assert x.shape == (2, 3, 32, 32) and abs(x.mean() - mean) < 0.1


def pair(write: Write, name: str = "1.png") -> Write:
    """Writes the same file for the classes a and b."""

    def into(root: Path) -> None:
        for folder in ("a", "b"):
            write(root / folder / name)

    return into


def all_of(*writers: Write) -> Write:
    def into(root: Path) -> None:
        for write in writers:
            write(root)

    return into


def at(name: str, write: Write) -> Write:
    return lambda root: write(root / name)


def put_text(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("no image, no recording")


def save_rgb16(path: Path, grey: np.ndarray) -> None:
    """A PNG of three channels of 16 bits, which Pillow cannot write."""
    header = struct.pack(">IIBBBBB", *grey.shape[::-1], 16, 2, 0, 0, 0)
    rows = np.repeat(grey[:, :, None], 3, axis=2).astype(">u2").reshape(len(grey), -1)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    chunks = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    )


PICTURE, OTHER_SIZE = filled((1, 2, 3), "RGB"), lambda path: save(path, np.zeros((5, 5), np.uint8))
TREE = [at(f"{part}/{name}/1.png", PICTURE) for part in ("train", "test") for name in "ab"]

REFUSED_IMAGES: dict[str, tuple[Write, str]] = {
    "no folder of a class": (at("1.png", PICTURE), "holds no image and no recording in a folder.*make one per class"),
    "empty": (lambda root: None, "holds no image and no recording in a folder: make one per class"),
    "other files": (pair(put_text, "1.heic"), r"2 other files left out \(.heic\): make one per class, of images or"),
    "one class": (at("a/1.png", PICTURE), "holds 1 folder of images: make one per class, at least two"),
    "folders in a training part alone": (
        all_of(*(at(f"train/{name}/1.png", PICTURE) for name in "ab"), at("test1/1.png", PICTURE)),
        "has the folder train, which holds a folder per class: name .*/train, or if train is a class, rename it",
    ),
    "empty class": (all_of(pair(PICTURE), lambda root: (root / "c").mkdir()), "c holds no image: add some, or remove"),
    "sizes": (all_of(at("a/1.png", PICTURE), at("b/1.png", OTHER_SIZE)), r"b/1\.png is 5x5.*with --resize"),
    "sizes of parts": (all_of(*TREE, at("test/a/2.png", OTHER_SIZE)), r"test/a/2\.png is 5x5 .*resize all images"),
    "text called .png": (pair(put_text), r"a/1\.png cannot be read as an image .*: replace or remove it"),
    "32 bits": (pair(lambda path: save(path, np.ones((4, 4), np.int32)), "1.tiff"), "save it with 8 or 16 bits"),
    "signed": (pair(lambda path: save(path, np.ones((4, 4), np.int16)), "1.tiff"), "or with a sign.* 8 or 16 bits"),
    "floats": (pair(lambda path: save(path, np.ones((4, 4), np.float32)), "1.tiff"), "save it with 8 or 16 bits"),
    "12 bits in 16": (pair(lambda path: save(path, GREY16 // 16)), r"no such image has a value above 4,111 of 65,535"),
    "12 bits in 16, colour": (pair(lambda path: save_rgb16(path, GREY16 // 16)), "scale the images to the whole range"),
    "two in one.gif": (pair(save_frames, "two.gif"), "a/two.gif holds 2 images: save each as a file of its own"),
    "two in one.tiff": (pair(save_frames, "two.tiff"), "a/two.tiff holds 2 images: save each as a file of its own"),
    "no test part": (
        all_of(*TREE[:2], at("val/a/1.png", PICTURE)),
        "has the parts train, val: add test rows, or leave",
    ),
    "two validation parts": (
        all_of(*TREE, at("val/a/1.png", PICTURE), at("valid/a/1.png", PICTURE)),
        "has the parts train, val, valid, test, of which two mean the same: keep one of them",
    ),
    "a class to test on alone": (
        all_of(*TREE, at("test/c/1.png", PICTURE)),
        "test has the classes c, and train lacks them: give both the same",
    ),
}


def test_a_folder_per_class_and_what_is_left_out(tmp_path: Path) -> None:
    for name in ("b/1.png", "b/2.PNG", "a/1.bmp", ".hidden/1.png", "__old/1.png", "cover.png"):
        PICTURE(tmp_path / name)
    for name in ("a/notes.txt", "a/Thumbs.db", "b/README"):
        put_text(tmp_path / name)
    table = read(tmp_path)
    assert table.arrays["x"].shape == (3, 3, 4, 4) and table.arrays["y"].tolist() == [0, 1, 1]
    assert table.arrays["classes"].tolist() == ["a", "b"]
    assert table.notes[0] == "3 images, colour, 4 x 4 pixels" and table.notes[1].startswith("4 other files left out (")


def test_an_image_that_is_replaced_by_an_older_one_is_read_again(tmp_path: Path) -> None:
    for folder in "ab":
        save(tmp_path / folder / "1.png", 7, "L")
    before = read(tmp_path).arrays["x"]
    save(tmp_path / "a" / "1.png", 8, "L")
    os.utime(tmp_path / "a" / "1.png", (1, 1))
    assert before[:, 0, 0, 0].tolist() == [7, 7] and read(tmp_path).arrays["x"][:, 0, 0, 0].tolist() == [8, 7]


def test_folders_that_are_links_are_read(tmp_path: Path) -> None:
    """Classes often lie on another disk. A link to a folder above has no end."""
    pair(PICTURE)(tmp_path / "disk")
    (root := tmp_path / "mine").mkdir()
    for name in "ab":
        (root / name).symlink_to(tmp_path / "disk" / name)
    PICTURE(root / "a" / "more" / "2.png")
    (root / "a" / "up").symlink_to(root)
    assert len(read(root).arrays["x"]) == 3


def test_what_a_link_leads_to_within_the_folder_is_read_once(tmp_path: Path) -> None:
    for name in ("a/2024/1.png", "b/1.png"):
        PICTURE(tmp_path / name)
    (tmp_path / "a" / "latest").symlink_to("2024")
    assert len(read(tmp_path).arrays["x"]) == 2


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("bus/1.png", "train/1.png", "train/steam/2.png", "train/.thumbs/1.png"):
        PICTURE(tmp_path / name)
    assert read(tmp_path).arrays["classes"].tolist() == ["bus", "train"]


def test_a_name_that_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    """Folders of old archives have such names."""
    pair(PICTURE)(tmp_path)
    PICTURE(tmp_path / os.fsdecode(b"caf\xe9") / "1.png")
    with pytest.raises(BadInput, match=r"holds the folder b'caf\\xe9', whose name is no UTF-8: rename it"):
        read(tmp_path)


def test_colour_is_kept_if_any_image_has_it(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png", 7, "L")
    save(tmp_path / "b" / "1.png", (1, 2, 3), "RGB")
    assert read(tmp_path).arrays["x"][:, :, 0, 0].tolist() == [[7, 7, 7], [1, 2, 3]]


def test_smaller_copies_in_a_tiff_are_no_images(tmp_path: Path) -> None:
    small = Image.new("RGB", (2, 2), "red")
    small.encoderinfo = {"tiffinfo": {254: 1}}  # type: ignore[attr-defined]
    for folder in "ab":
        (tmp_path / folder).mkdir()
        Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / folder / "1.tiff", save_all=True, append_images=[small])
    assert np.array_equal(read(tmp_path).arrays["x"][0], colour(1, 2, 3))


def test_16_bits_are_judged_by_the_files_that_have_them(tmp_path: Path) -> None:
    """Resizing makes a bright spot dark, and images of 8 bits say nothing about those of 16."""
    spot = np.zeros((128, 128), np.uint16)
    spot[5, 5] = 65535
    for folder in "ab":
        save(tmp_path / "spots" / folder / "1.png", spot)
    assert read(tmp_path / "spots", resize=8).arrays["x"].max() < 64
    save(tmp_path / "mixed" / "a" / "1.png", GREY16 // 16)
    save(tmp_path / "mixed" / "b" / "1.png", GREY8)
    with pytest.raises(BadInput, match=r"a/1\.png has 16 bits, but no such image"):
        read(tmp_path / "mixed")


def test_images_of_several_sizes_are_resized(tmp_path: Path) -> None:
    for folder in "ab":
        save(tmp_path / folder / "1.png", RAMP)
        save(tmp_path / folder / "2.png", np.zeros((30, 40), np.uint8))
    assert read(tmp_path, resize=8).arrays["x"].shape == (4, 1, 8, 8)


@pytest.mark.parametrize("validation", ["val", "validation", "Valid", "dev"])
def test_parts_of_a_folder_are_kept(validation: str, tmp_path: Path) -> None:
    all_of(*TREE)(tmp_path)
    arrays = read(tmp_path).arrays
    assert arrays["x_train"].shape == (2, 3, 4, 4) and arrays["y_test"].tolist() == [0, 1]
    pair(PICTURE)(tmp_path / validation)
    PICTURE(tmp_path / "train" / "c" / "1.png")
    table = read(tmp_path)
    assert table.arrays["part"].tolist() == [0, 0, 0, 1, 1, 2, 2]
    assert table.arrays["y"].tolist() == [0, 1, 2, 0, 1, 0, 1], "inspect warns of the class that parts lack"


@pytest.mark.parametrize("names", [("training_set", "test_set"), ("TrainSet", "TestSet"), ("train-data", "test data")])
def test_parts_have_many_names(names: tuple[str, str], tmp_path: Path) -> None:
    for part in names:
        pair(PICTURE)(tmp_path / part)
    table = read(tmp_path)
    assert table.arrays["classes"].tolist() == ["a", "b"] and len(table.arrays["x_test"]) == 2


def test_classes_that_differ_in_case_are_warned_of(tmp_path: Path) -> None:
    for name in ("Cat", "cat", "dog"):
        PICTURE(tmp_path / name / "1.png")
    assert read(tmp_path).warnings == (
        "classes 'Cat' and 'cat' differ in case or blanks alone: write them alike if they are one.",
    )


def test_a_folder_that_has_changed_is_read_again(tmp_path: Path) -> None:
    pair(PICTURE)(tmp_path)
    assert len(read(tmp_path).arrays["x"]) == 2
    PICTURE(tmp_path / "b" / "2.png")
    assert len(read(tmp_path).arrays["x"]) == 3


# Recordings

RATE = 1000
WAVE = np.sin(2 * np.pi * 50 * np.arange(200) / RATE) / 2  # 0.2 s


def wav(samples: Any, rate: int = RATE) -> Write:
    def write(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        wavfile.write(path, rate, np.asarray(samples))

    return write


def pcm(bits: int, extensible: bool = False) -> Write:
    """Writes WAVE as little-endian PCM with a header of our own: scipy writes neither 24 bits nor this header."""
    values, size = np.rint(WAVE * (2 ** (bits - 1) - 1)).astype(np.int64), bits // 8
    data = b"".join(int(value).to_bytes(size, "little", signed=True) for value in values)
    tag = 0xFFFE if extensible else 1
    form = struct.pack("<HHIIHH", tag, 1, RATE, RATE * size, size, bits)
    if extensible:
        form += struct.pack("<HHIHH", 22, bits, 4, 1, 0) + bytes.fromhex("00001000800000aa00389b71")
    chunks = b"".join(name + struct.pack("<I", len(body)) + body for name, body in ((b"fmt ", form), (b"data", data)))

    def write(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)

    return write


RECORDINGS: dict[str, Write] = {
    "8 bits": wav(np.rint(WAVE * 127 + 128).astype(np.uint8)),
    "16 bits": wav(np.rint(WAVE * 32767).astype(np.int16)),
    "16 bits, extensible": pcm(16, extensible=True),
    "24 bits": pcm(24),
    "24 bits, extensible": pcm(24, extensible=True),
    "32 bits": wav(np.rint(WAVE * (2**31 - 1)).astype(np.int32)),
    "64 bits": wav(np.rint(WAVE * (2**62)).astype(np.int64) * 2),
    "float 32": wav(WAVE.astype(np.float32)),
    "float 64": wav(WAVE),
    "stereo": wav(np.stack([WAVE * 1.5, WAVE * 0.5], axis=1).astype(np.float32)),
    "three channels": wav(np.stack([WAVE] * 3, axis=1)),
}


@pytest.mark.parametrize("case", RECORDINGS)
def test_a_wav_of_any_form_is_read(case: str, tmp_path: Path) -> None:
    pair(RECORDINGS[case], "1.WAV")(tmp_path)
    table = read(tmp_path)
    assert table.arrays["x"].dtype == np.int16 and table.arrays["rate"] == RATE
    assert np.abs(table.arrays["x"] / 32768 - WAVE).max() < (0.008 if case == "8 bits" else 1e-4)
    assert table.notes == ("2 recordings, 1,000 Hz, 0.2 s",) and table.warnings == ()


SCIPY = of_package(scipy, "io/tests/data")


@pytest.mark.parametrize(
    ("name", "rate", "samples", "first"),
    [
        ("test-8000Hz-le-2ch-1byteu.wav", 8000, 800, [(136 - 128) * 256, (189 - 128) * 256]),
        ("test-44100Hz-le-1ch-4bytes.wav", 44100, 4410, [9538171 >> 16, 211394107 >> 16]),
        ("test-44100Hz-be-1ch-4bytes.wav", 44100, 4410, [9538171 >> 16, 211394107 >> 16]),
        ("test-44100Hz-le-1ch-4bytes-rf64.wav", 44100, 4410, [9538171 >> 16, 211394107 >> 16]),
    ],
)
def test_real_recordings(name: str, rate: int, samples: int, first: list[int], tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).symlink_to(SCIPY / name)
    arrays = read(tmp_path).arrays
    assert arrays["x"].shape == (2, samples) and arrays["rate"] == rate
    assert arrays["x"][:, :2].tolist() == [first, first] and abs(arrays["x"].mean()) < 200


def real(name: str) -> Write:
    def write(root: Path) -> None:
        for folder in "ab":
            (root / folder).mkdir(parents=True)
            (root / folder / name).symlink_to(SCIPY / name)

    return write


WORD = wav((WAVE * 9999).astype(np.int16))

REFUSED_RECORDINGS: dict[str, tuple[Write, str]] = {
    "mu-law": (real("test-8000Hz-le-1ch-1byte-ulaw.wav"), "cannot be read as a WAV file .*MULAW.*: save it as PCM"),
    "cut off": (real("test-44100Hz-le-1ch-4bytes-early-eof.wav"), "Reached EOF prematurely.*or remove it"),
    "cut off early": (real("test-44100Hz-le-1ch-4bytes-early-eof-no-data.wav"), "cannot be read as a WAV file"),
    "cut off in a header": (real("test-44100Hz-le-1ch-4bytes-incomplete-chunk.wav"), "cannot be read as a WAV file"),
    "wrong header": (real("test-8000Hz-le-3ch-5S-24bit-inconsistent.wav"), "cannot be read as a WAV file .*header"),
    "a few samples": (real("test-8000Hz-le-3ch-5S-24bit.wav"), "recordings last 0.001 s at most: record 0.1 s or more"),
    "text called .wav": (pair(put_text, "1.wav"), r"a/1\.wav cannot be read as a WAV file .*: save it as PCM"),
    "empty": (pair(wav(np.zeros(0, np.int16)), "1.wav"), "holds 0 samples: replace or remove it"),
    "NaN": (pair(wav(np.full(200, np.nan, np.float32)), "1.wav"), "samples that are not finite.*scale them to ±1"),
    "floats of int16": (pair(wav(WAVE.astype(np.float32) * 32767), "1.wav"), "beyond ±10: scale them to ±1"),
    "long": (pair(wav(np.zeros(61 * RATE, np.int16)), "1.wav"), "lasts 61.0 s: cut recordings into pieces of 60 s"),
    "slow": (pair(wav(np.zeros(200, np.int16), rate=500), "1.wav"), "has 500 samples per second: save it with 1000"),
    "images too": (all_of(pair(WORD, "1.wav"), pair(PICTURE)), r"holds 2 images and 2 recordings, such as 1\.png and"),
    "one class": (at("a/1.wav", WORD), "holds 1 folder of recordings: make one per class, at least two"),
    "empty class": (
        all_of(pair(WORD, "1.wav"), at("c/1.m4a", put_text)),
        "c holds no recording: add some, or remove the folder",
    ),
    "lists that name no test part": (
        all_of(pair(WORD, "1.wav"), *(lambda root, name=name: (root / name).touch() for name in audio.LISTS.values())),
        "has no validation recording by its two lists: correct them, or remove both",
    ),
    "no test part": (
        all_of(*(at(f"{part}/a/1.wav", WORD) for part in ("train", "val"))),
        "has the parts train, val: add test rows",
    ),
}


REFUSED = {f"images: {case}": refused for case, refused in REFUSED_IMAGES.items()}
REFUSED |= {f"recordings: {case}": refused for case, refused in REFUSED_RECORDINGS.items()}


@pytest.mark.parametrize("case", REFUSED)
def test_a_folder_is_refused_with_the_remedy(case: str, tmp_path: Path) -> None:
    write, message = REFUSED[case]
    write(tmp_path)
    with pytest.raises(BadInput, match=message) as error:
        read(tmp_path)
    assert len(str(error.value).splitlines()) == 1


def test_recordings_become_as_long_as_the_longest_at_the_most_common_rate(tmp_path: Path) -> None:
    for number in range(4):
        wav(np.full(200, 7, np.int16))(tmp_path / "a" / f"{number}.wav")
        wav(np.full(150, 8, np.int16))(tmp_path / "b" / f"{number}.wav")
    wav(np.full(1200, 9, np.int16), rate=2 * RATE)(tmp_path / "b" / "9.wav")
    put_text(tmp_path / "b" / "notes.txt")
    table = read(tmp_path)
    x = table.arrays["x"]
    assert x.shape == (9, 600) and table.arrays["rate"] == RATE and table.arrays["y"].tolist() == [0] * 4 + [1] * 5
    assert (x[0, :200] == 7).all() and (x[0, 200:] == 0).all() and (x[5, :150] == 8).all()
    assert np.abs(x[8, 20:-20] - 9.0).max() <= 1, "half the samples last as long"
    assert table.notes == (
        "9 recordings, 1,000 Hz, 0.6 s",
        "8 of them shorter, padded with silence",
        "1 other file left out (.txt)",
    )
    assert table.warnings[0].startswith("1 of 9 recordings have other rates than 1,000 Hz and are resampled")
    assert table.warnings[1].startswith("half of the recordings last 0.2 s or less, and all are padded to the longest")


def test_parts_of_recordings_are_kept(tmp_path: Path) -> None:
    for part in ("train", "validation", "test"):
        pair(WORD, "1.wav")(tmp_path / part)
    arrays = read(tmp_path).arrays
    assert arrays["part"].tolist() == [0, 0, 1, 1, 2, 2] and arrays["y"].tolist() == [0, 1] * 3


def test_recordings_are_not_resized(tmp_path: Path) -> None:
    pair(WORD, "1.wav")(tmp_path)
    with pytest.raises(BadInput, match=r"resize=32 does not fit .*: it resizes images, not recordings\. Leave it out"):
        read(tmp_path, resize=32)


def test_the_lists_of_speech_commands_divide_a_folder(tmp_path: Path) -> None:
    datafiles.write_speech_commands(tmp_path)
    table = read(tmp_path)
    assert table.arrays["part"].tolist() == [1, 0, 0, 2, 0, 0, 0, 0] * 2, "background noise is no class"
    assert table.arrays["classes"].tolist() == ["no", "yes"]
    assert table.notes == (
        "16 recordings, 16,000 Hz, 1 s, parts of the two lists",
        "1 resampled, 1 padded, 1 cut",
        "1 other file left out (.wav)",
    )


def test_all_recordings_of_such_a_folder_are_read(tmp_path: Path) -> None:
    """Those whose names end in .WAV, or that lie deeper, were left out, and a folder without any became a class."""
    datafiles.write_speech_commands(tmp_path)
    (tmp_path / "yes" / "dora_nohash_1.wav").rename(tmp_path / "yes" / "dora_nohash_1.WAV")
    (tmp_path / "no" / "more").mkdir()
    (tmp_path / "no" / "dora_nohash_1.wav").rename(tmp_path / "no" / "more" / "dora_nohash_1.wav")
    (tmp_path / "readme.md").touch()
    table = read(tmp_path)
    assert len(table.arrays["y"]) == 16 and "16 recordings" in table.notes[0]
    assert table.notes[-1] == "2 other files left out (.md, .wav)"
    at("docs/1.txt", put_text)(tmp_path)
    with pytest.raises(BadInput, match=r"docs holds no recording: add some, or remove the folder"):
        read(tmp_path)


@pytest.mark.parametrize("suffix", ["flac", "mp3", "OGG", "aiff"])
def test_other_files_of_sound_need_soundfile(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    pair(put_text, f"1.{suffix}")(tmp_path)
    with pytest.raises(BadInput, match=r"is no WAV file: pip install soundfile to read it, or save all as WAV"):
        read(tmp_path)


class FakeSoundfile:
    """Stands for soundfile, which is no dependency: reads WAV whatever the suffix, and calls text unknown."""

    @staticmethod
    def read(path: Path, dtype: str, always_2d: bool) -> tuple[Any, int]:
        if path.read_bytes()[:4] != b"RIFF":
            raise RuntimeError("Format not recognised.")
        rate, samples = wavfile.read(path)
        assert dtype == "int16" and always_2d
        return samples.reshape(len(samples), -1), rate


def test_soundfile_reads_what_is_no_wav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", FakeSoundfile)
    stereo = np.stack([np.full(200, 3), np.full(200, 5)], axis=1).astype(np.int16)
    all_of(at("a/1.flac", wav(stereo)), at("b/1.mp3", WORD))(tmp_path)
    arrays = read(tmp_path).arrays
    assert (arrays["x"][0] == 4).all() and arrays["x"].shape == (2, 200)
    put_text(tmp_path / "b" / "2.ogg")
    with pytest.raises(BadInput, match=r"b/2\.ogg cannot be read \(Format not recognised\.\): replace or remove it"):
        read(tmp_path)


@pytest.mark.skipif(not importlib.util.find_spec("soundfile"), reason="soundfile is not installed")
@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3", "aiff"])
def test_real_soundfile(suffix: str, tmp_path: Path) -> None:
    import soundfile

    wave = np.sin(2 * math.pi * 440 * np.arange(16000) / 16000) / 2
    for folder in "ab":
        (tmp_path / folder).mkdir()
        soundfile.write(tmp_path / folder / f"1.{suffix}", wave, 16000)
    x = read(tmp_path).arrays["x"]
    assert x.shape[1] >= 16000 and abs(float(np.abs(x[0, 2000:15000] / 32768).max()) - 0.5) < 0.02


def test_inspect_shows_a_folder_of_recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    rng = np.random.default_rng(0)
    for number in range(60):
        path = tmp_path / "words" / ("no", "yes")[number % 2] / f"{number}.wav"
        wav(rng.integers(-999, 999, 800).astype(np.int16), 4000)(path)
    with registries_restored():
        printed = run_cli_in_process("inspect", "words")
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert "words/lenet: 60 rows, 2 classes, inputs of 1 x 41 x 21" in lines
    assert "data: 60 recordings, 4,000 Hz, 0.2 s" in lines and "yes 30 19 5 6" in lines
    assert any(line.startswith("recipe: 100 epochs (--epochs), batches of 19") for line in lines), "60 rows are few"
