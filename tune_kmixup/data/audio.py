"""Recordings of single words in the layout of Google Speech Commands, and their spectrograms.

    <folder>/<word>/<speaker>_nohash_<i>.wav      and two lists of such paths:
    <folder>/validation_list.txt, <folder>/testing_list.txt

Recordings are kept as one second of 16-bit samples, int16 N x rate; the spectrogram is made on the device.
"""

import struct
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tune_kmixup.core.errors import BadInput

Arrays = dict[str, NDArray[Any]]

URL = "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v{version}.tar.gz"
MD5 = {"0.01": "3cd23799cb2bbdec517f1cc028f8d43c", "0.02": "6b74f3901214cb2c2934e98196829835"}  # torchaudio 0.9's
FSDD = "https://github.com/Jakobovski/free-spoken-digit-dataset"
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
TRAIN, VAL, TEST = 0, 1, 2


def google(version: str) -> Callable[[Path, bool], Arrays]:
    """Google Speech Commands, in the folder where torchaudio keeps it."""

    def load(folder: Path, download: bool) -> Arrays:
        root = folder / "SpeechCommands" / f"speech_commands_v{version}"
        if download:
            url = URL.format(version=version)
            from torchvision.datasets.utils import download_and_extract_archive  # seconds to import

            download_and_extract_archive(url, folder, root, md5=MD5[version], remove_finished=True)
        return layout(root)

    return load


def spoken_digits(folder: Path, download: bool) -> Arrays:
    """The Free Spoken Digit Dataset: a clone of its repository, or its recordings in the layout of Speech Commands.

    Its test recordings are numbers 0 to 4 of each speaker and digit, as its authors say; numbers 5 to 9 are ours for
    validation. So all speakers are known. Raises BadInput where the folder holds other words.
    """
    if download:
        raise BadInput(f"it is not downloaded by itself: git clone {FSDD} into the data directory")
    clone = folder / FSDD.rpartition("/")[2] / "recordings"
    if clone.is_dir():
        paths = sorted(clone.glob("*.wav"))
        names = [path.stem.split("_") for path in paths]  # digit, speaker, number
        which = [(TEST, VAL)[int(number) // 5] if int(number) < 10 else TRAIN for _, _, number in names]
        return recordings(paths, [int(digit) for digit, _, _ in names], [speaker for _, speaker, _ in names], which)
    root = folder / "speech_commands"
    if (words := words_of(root)) != sorted(DIGITS):
        raise BadInput(f"{root} holds {len(words)} words that are not the ten digits: put the spoken digits there.")
    return layout(root, DIGITS)


def words_of(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir() and path.name[0] not in "._")


def layout(root: Path, words: list[str] | None = None) -> Arrays:
    """All recordings below `root`. Words are numbered in the order given, or sorted; background noise is left out."""
    words = words or words_of(root)
    found = [(path, number) for number, word in enumerate(words) for path in sorted((root / word).glob("*.wav"))]
    paths = [path for path, _ in found]
    speakers = [path.name.partition("_nohash_")[0] for path in paths]
    return recordings(paths, [number for _, number in found], speakers, listed(root, paths))


def recordings(paths: list[Path], y: list[int], speakers: list[str], which: list[int]) -> Arrays:
    """x, y, the speaker of each row (`group`), its part (0, 1, 2 = train, val, test), and the sampling rate.

    The rate is the commonest of all; recordings of another rate are resampled, shorter ones padded with silence at
    the end, longer ones cut: `changed` counts the three. Raises BadInput naming the file that is no recording.
    """
    if not paths:
        raise BadInput("there is no .wav file: unpack the recordings again.")
    waves = [read_wav(path) for path in paths]
    rate = Counter(found for found, _ in waves).most_common(1)[0][0]
    x = np.zeros((len(paths), rate), np.int16)
    for row, (found, wave) in zip(x, waves, strict=True):
        second = (wave if found == rate else resampled(wave, found, rate))[:rate]
        row[: len(second)] = second
    changed = (
        sum(found != rate for found, _ in waves),
        sum(len(wave) < found for found, wave in waves),
        sum(len(wave) > found for found, wave in waves),
    )
    return {
        "x": x,
        "y": np.asarray(y, np.int64),
        "group": np.unique(speakers, return_inverse=True)[1].astype(np.int64),
        "part": np.asarray(which, np.int64),
        "rate": np.asarray(rate),
        "changed": np.asarray(changed),
    }


def listed(root: Path, paths: list[Path]) -> list[int]:
    """The part that the two lists put each recording into. Raises BadInput for one that is listed and not there."""
    number = {f"{path.parent.name}/{path.name}": row for row, path in enumerate(paths)}
    found = [TRAIN] * len(paths)
    for part, file in ((VAL, "validation_list.txt"), (TEST, "testing_list.txt")):
        if not (root / file).exists():
            raise BadInput(f"{root / file} does not exist: it comes with the recordings; unpack them again.")
        for name in (root / file).read_text().split():
            if name not in number:
                raise BadInput(f"{root / file} lists {name}, which is not there: unpack the recordings again.")
            found[number[name]] = part
    return found


def read_wav(path: Path) -> tuple[int, NDArray[np.int16]]:
    """Sampling rate and samples, mono, 16 bits."""
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Reached EOF", wavfile.WavFileWarning)  # cut short
            warnings.filterwarnings("ignore", "Chunk", wavfile.WavFileWarning)  # remarks beside the samples
            rate, wave = wavfile.read(path)
    except (OSError, ValueError, struct.error, wavfile.WavFileWarning) as error:
        raise BadInput(f"{path} is no WAV file that can be read ({error}): replace or remove it.") from error
    if len(wave) == 0 or not np.isfinite(wave).all():
        raise BadInput(f"{path} holds {len(wave)} samples, or some that are not finite: replace or remove it.")
    if wave.dtype == np.uint8:
        wave = (wave.astype(np.int16) - 128) * 256
    elif wave.dtype == np.int32:
        wave = (wave >> 16).astype(np.int16)
    elif wave.dtype.kind == "f":
        wave = (wave * 32767).clip(-32768, 32767).astype(np.int16)
    if wave.ndim == 2:
        wave = wave.mean(axis=1).astype(np.int16)
    return int(rate), wave


def resampled(wave: NDArray[np.int16], rate: int, target: int) -> NDArray[np.int16]:
    from scipy.signal import resample_poly

    divisor = int(np.gcd(rate, target))
    found: NDArray[np.float64] = resample_poly(wave.astype(float), target // divisor, rate // divisor)
    return found.clip(-32768, 32767).astype(np.int16)


def shape(rate: int) -> tuple[int, int, int]:
    """Of one spectrogram: 1 x 161 x 101 at 16 kHz, 1 x 81 x 101 at 8 kHz."""
    return 1, rate // 100 + 1, 101


def waves(x: Tensor) -> Tensor:
    """Stored recordings, int16 -> samples in [-1, 1]."""
    return x.float() / 32768


def spectrogram(wave: Tensor) -> Tensor:
    """log(1 + magnitude) of the short-time Fourier transform, each recording at mean 0 and standard deviation 1.

    wave: N x rate, one second each, samples in [-1, 1]. Hamming windows of 20 ms every 10 ms give
    N x 1 x (rate / 100 + 1) x 101. Silence stays finite.
    """
    rate = wave.shape[1]
    window = torch.hamming_window(rate // 50, device=wave.device)
    found = torch.stft(wave, rate // 50, rate // 100, window=window, return_complex=True).abs().log1p()
    std, mean = torch.std_mean(found, dim=(1, 2), keepdim=True, correction=0)
    return ((found - mean) / std.clamp_min(1e-6)).unsqueeze(1)
