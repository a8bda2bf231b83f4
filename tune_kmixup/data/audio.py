"""Recordings of single words in the folder layout of Google Speech Commands, and their spectrograms.

    <folder>/<word>/<speaker>_nohash_<i>.wav      and two lists of such paths:
    <folder>/validation_list.txt, <folder>/testing_list.txt

Recordings are kept as one second of 16-bit samples, int16 N x rate. The spectrogram is computed on the device.
"""

import struct
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tune_kmixup.core.errors import BadInput
from tune_kmixup.data.npz import Arrays

URL = "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v{version}.tar.gz"
MD5 = {"0.01": "3cd23799cb2bbdec517f1cc028f8d43c", "0.02": "6b74f3901214cb2c2934e98196829835"}  # from torchaudio 0.9
FSDD = "https://github.com/Jakobovski/free-spoken-digit-dataset"
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TRAIN, VAL, TEST = 0, 1, 2  # values of the array `part`


def speech_commands_loader(version: str) -> Callable[[Path, bool], Arrays]:
    """Loader of Google Speech Commands, from the folder in which torchaudio keeps it."""

    def load(folder: Path, download: bool) -> Arrays:
        root = folder / "SpeechCommands" / f"speech_commands_v{version}"
        if download:
            url = URL.format(version=version)
            from torchvision.datasets.utils import download_and_extract_archive  # seconds to import

            download_and_extract_archive(url, folder, root, md5=MD5[version], remove_finished=True)
        return load_word_folders(root)

    return load


def load_spoken_digits(folder: Path, download: bool) -> Arrays:
    """The Free Spoken Digit Dataset: a clone of its repository, or its recordings in the layout of Speech Commands.

    Recordings 0 to 4 of each speaker and digit are the test part, as its authors propose. Recordings 5 to 9 are our
    validation part. Every speaker therefore occurs in all three parts. Raises BadInput if the folder holds other words.
    """
    if download:
        raise BadInput(
            f"the Free Spoken Digit Dataset is not downloaded automatically: git clone {FSDD} into the data directory."
        )
    clone = folder / FSDD.rpartition("/")[2] / "recordings"
    if clone.is_dir():
        paths = sorted(clone.glob("*.wav"))
        names = [path.stem.split("_") for path in paths]  # digit, speaker, number
        parts = [(TEST, VAL)[int(number) // 5] if int(number) < 10 else TRAIN for _, _, number in names]
        return recording_arrays(
            paths, [int(digit) for digit, _, _ in names], [speaker for _, speaker, _ in names], parts
        )
    root = folder / "speech_commands"
    if (words := list_words(root)) != sorted(DIGITS):
        raise BadInput(f"{root} holds {len(words)} words that are not the ten digits: put the spoken digits there.")
    return load_word_folders(root, DIGITS)


def list_words(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir() and path.name[0] not in "._")


def load_word_folders(root: Path, words: list[str] | None = None) -> Arrays:
    """All recordings below `root`. Words are numbered in the order given, else sorted. Background noise is left out."""
    words = words or list_words(root)
    labelled = [(path, label) for label, word in enumerate(words) for path in sorted((root / word).glob("*.wav"))]
    paths = [path for path, _ in labelled]
    speakers = [path.name.partition("_nohash_")[0] for path in paths]
    return recording_arrays(paths, [label for _, label in labelled], speakers, read_part_lists(root, paths))


def recording_arrays(paths: list[Path], y: list[int], speakers: list[str], parts: list[int]) -> Arrays:
    """x, y, the speaker of each row (`group`), its part (0, 1, 2 = train, val, test), and the sampling rate.

    The rate is the most common one. Recordings of another rate are resampled, shorter ones padded with silence at the
    end, longer ones cut. `changed` counts the three cases. Raises BadInput naming a file that is no recording.
    """
    if not paths:
        raise BadInput("there is no .wav file: unpack the recordings again.")
    recordings = [read_wav(path) for path in paths]
    rate = Counter(file_rate for file_rate, _ in recordings).most_common(1)[0][0]
    x = np.zeros((len(paths), rate), np.int16)
    for row, (file_rate, samples) in zip(x, recordings, strict=True):
        second = (samples if file_rate == rate else resample(samples, file_rate, rate))[:rate]
        row[: len(second)] = second
    changed = (
        sum(file_rate != rate for file_rate, _ in recordings),
        sum(len(samples) < file_rate for file_rate, samples in recordings),
        sum(len(samples) > file_rate for file_rate, samples in recordings),
    )
    return {
        "x": x,
        "y": np.asarray(y, np.int64),
        "group": np.unique(speakers, return_inverse=True)[1].astype(np.int64),
        "part": np.asarray(parts, np.int64),
        "rate": np.asarray(rate),
        "changed": np.asarray(changed),
    }


def read_part_lists(root: Path, paths: list[Path]) -> list[int]:
    """The part of each recording by the two lists. Raises BadInput if a listed recording does not exist."""
    row_by_name = {f"{path.parent.name}/{path.name}": row for row, path in enumerate(paths)}
    parts = [TRAIN] * len(paths)
    for part, file in ((VAL, "validation_list.txt"), (TEST, "testing_list.txt")):
        if not (root / file).exists():
            raise BadInput(f"{root / file} does not exist: it comes with the recordings; unpack them again.")
        for name in (root / file).read_text().split():
            if name not in row_by_name:
                raise BadInput(f"{root / file} lists {name}, which does not exist: unpack the recordings again.")
            parts[row_by_name[name]] = part
    return parts


def read_wav(path: Path) -> tuple[int, NDArray[np.int16]]:
    """Sampling rate and samples, mono, 16 bits."""
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Reached EOF", wavfile.WavFileWarning)  # the file is truncated
            warnings.filterwarnings("ignore", "Chunk", wavfile.WavFileWarning)  # metadata that scipy does not know
            rate, samples = wavfile.read(path)
    except (OSError, ValueError, struct.error, wavfile.WavFileWarning) as error:
        raise BadInput(f"{path} cannot be read as a WAV file ({error}): replace or remove it.") from error
    if len(samples) == 0 or not np.isfinite(samples).all():
        raise BadInput(f"{path} holds {len(samples)} samples, or some that are not finite: replace or remove it.")
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.int16) - 128) * 256
    elif samples.dtype == np.int32:
        samples = (samples >> 16).astype(np.int16)
    elif samples.dtype.kind == "f":
        samples = (samples * 32767).clip(-32768, 32767).astype(np.int16)
    if samples.ndim == 2:
        samples = samples.mean(axis=1).astype(np.int16)
    return int(rate), samples


def resample(samples: NDArray[np.int16], rate: int, target: int) -> NDArray[np.int16]:
    from scipy.signal import resample_poly

    divisor = int(np.gcd(rate, target))
    resampled: NDArray[np.float64] = resample_poly(samples.astype(float), target // divisor, rate // divisor)
    return resampled.clip(-32768, 32767).astype(np.int16)


def spectrogram_shape(rate: int) -> tuple[int, int, int]:
    """Shape of one spectrogram: 1 x 161 x 101 at 16 kHz, 1 x 81 x 101 at 8 kHz."""
    return 1, rate // 100 + 1, 101


def to_samples(x: Tensor) -> Tensor:
    """Stored recordings, int16 -> samples in [-1, 1]."""
    return x.float() / 32768


def spectrogram(samples: Tensor) -> Tensor:
    """log(1 + magnitude) of the short-time Fourier transform, scaled to mean 0 and standard deviation 1 per recording.

    Args:
        samples: N x rate, one second each, in [-1, 1].

    Returns:
        N x 1 x (rate / 100 + 1) x 101: Hamming windows of 20 ms every 10 ms. Silence gives zeros, not NaN.
    """
    rate = samples.shape[1]
    window = torch.hamming_window(rate // 50, device=samples.device)
    log_magnitude = torch.stft(samples, rate // 50, rate // 100, window=window, return_complex=True).abs().log1p()
    std, mean = torch.std_mean(log_magnitude, dim=(1, 2), keepdim=True, correction=0)
    return ((log_magnitude - mean) / std.clamp_min(1e-6)).unsqueeze(1)
