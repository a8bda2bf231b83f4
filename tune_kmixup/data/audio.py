"""Recordings: of single words in the folder layout of Google Speech Commands, a user's own, and their spectrograms.

    <folder>/<word>/<speaker>_nohash_<i>.wav      and two lists of such paths:
    <folder>/validation_list.txt, <folder>/testing_list.txt

Recordings are kept as 16-bit samples, int16 N x samples: one second of words, a user's own as long as the longest. The
spectrogram is computed on the device.
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
from tune_kmixup.core.text import plural
from tune_kmixup.data.npz import Arrays
from tune_kmixup.data.parts import TEST, TRAIN, VAL

URL = "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v{version}.tar.gz"
MD5 = {"0.01": "3cd23799cb2bbdec517f1cc028f8d43c", "0.02": "6b74f3901214cb2c2934e98196829835"}  # from torchaudio 0.9
FSDD = "https://github.com/Jakobovski/free-spoken-digit-dataset"
DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
WAV = {".wav", ".wave"}
OTHERS = {".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif", ".aiff", ".au"}  # read by soundfile
LISTS = {VAL: "validation_list.txt", TEST: "testing_list.txt"}
SECONDS = (0.1, 60)  # least and most that the longest of a user's recordings may last
LEAST_RATE = 1000  # samples per second
LOUDEST = 10  # of samples in floating point, which are in [-1, 1], or clipped


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
    return divided_by_lists(root, [sorted((root / word).glob("*.wav")) for word in words or list_words(root)])


def divided_by_lists(root: Path, words: list[list[Path]]) -> Arrays:
    """The recordings of each word below `root`, with their parts by the two lists."""
    labelled = [(path, label) for label, recordings in enumerate(words) for path in recordings]
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
    recordings = [read_recording(path) for path in paths]
    alike, rate = at_one_rate(recordings)
    changed = (
        sum(file_rate != rate for file_rate, _ in recordings),
        sum(len(samples) < file_rate for file_rate, samples in recordings),
        sum(len(samples) > file_rate for file_rate, samples in recordings),
    )
    return {
        "x": of_one_length(alike, rate),
        "y": np.asarray(y, np.int64),
        "group": np.unique(speakers, return_inverse=True)[1].astype(np.int64),
        "part": np.asarray(parts, np.int64),
        "rate": np.asarray(rate),
        "changed": np.asarray(changed),
    }


def at_one_rate(recordings: list[tuple[int, NDArray[np.int16]]]) -> tuple[list[NDArray[np.int16]], int]:
    """Samples at the most common rate, and that rate. Recordings of another rate are resampled."""
    rate = Counter(file_rate for file_rate, _ in recordings).most_common(1)[0][0]
    return [x if file_rate == rate else resample(x, file_rate, rate) for file_rate, x in recordings], rate


def of_one_length(recordings: list[NDArray[np.int16]], length: int) -> NDArray[np.int16]:
    """N x length: shorter recordings are padded with silence at the end, longer ones cut."""
    x = np.zeros((len(recordings), length), np.int16)
    for row, samples in zip(x, recordings, strict=True):
        row[: len(samples)] = samples[:length]
    return x


def read_recordings(paths: list[Path]) -> tuple[NDArray[np.int16], int, list[str], list[str]]:
    """A user's own recordings.

    Args:
        paths: files of any rate and length, at least one.

    Returns:
        N x samples, padded with silence to the longest; their rate, which is the most common one; notes and warnings.

    Raises:
        BadInput: naming a file that cannot be read or is too long.
    """
    recordings = [read_recording(path) for path in paths]
    for path, (file_rate, samples) in zip(paths, recordings, strict=True):
        if file_rate < LEAST_RATE:
            raise BadInput(f"{path} has {file_rate} samples per second: save it with {LEAST_RATE} or more.")
        if (seconds := len(samples) / file_rate) > SECONDS[1]:
            raise BadInput(f"{path} lasts {seconds:.1f} s: cut recordings into pieces of {SECONDS[1]} s at most.")
    alike, rate = at_one_rate(recordings)
    lengths = np.asarray([len(samples) for samples in alike])
    longest, median = lengths.max() / rate, float(np.median(lengths)) / rate
    if longest < SECONDS[0]:
        raise BadInput(f"{paths[0].parent}: recordings last {longest:.3f} s at most: record {SECONDS[0]} s or more.")
    shorter, resampled = int((lengths < lengths.max()).sum()), sum(file_rate != rate for file_rate, _ in recordings)
    notes = [f"{plural(len(paths), 'recording')}, {rate:,} Hz, {longest:.3g} s"]
    notes += [f"{shorter:,} of them shorter, padded with silence"] if shorter else []
    warned = []
    if resampled:
        warned.append(
            f"{resampled:,} of {len(paths):,} recordings have other rates than {rate:,} Hz and are resampled: if rates "
            "differ by class, a network may learn the rate; save all at one rate."
        )
    if longest > 2 * median:
        warned.append(
            f"half of the recordings last {median:.3g} s or less, and all are padded to the longest, {longest:.3g} s: "
            "cut the longest, and training takes less time."
        )
    return of_one_length(alike, int(lengths.max())), rate, notes, warned


def read_part_lists(root: Path, paths: list[Path]) -> list[int]:
    """The part of each recording by the two lists. Raises BadInput if a listed recording does not exist."""
    row_by_name = {path.relative_to(root).as_posix(): row for row, path in enumerate(paths)}
    parts = [TRAIN] * len(paths)
    for part, file in LISTS.items():
        if not (root / file).exists():
            raise BadInput(f"{root / file} does not exist: it comes with the recordings; unpack them again.")
        for name in (root / file).read_text().split():
            if name not in row_by_name:
                raise BadInput(f"{root / file} lists {name}, which does not exist: unpack the recordings again.")
            parts[row_by_name[name]] = part
    return parts


def read_recording(path: Path) -> tuple[int, NDArray[np.int16]]:
    """Sampling rate and samples, mono, 16 bits. Raises BadInput naming a file that cannot be read."""
    if path.suffix.lower() in WAV:
        return read_wav(path)
    try:
        import soundfile
    except (ImportError, OSError):  # the latter if its library is missing
        raise BadInput(f"{path} is no WAV file: pip install soundfile to read it, or save all as WAV.") from None
    try:
        samples, rate = soundfile.read(path, dtype="int16", always_2d=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise BadInput(f"{path} cannot be read ({error}): replace or remove it.") from error
    return int(rate), mono(path, samples)


def read_wav(path: Path) -> tuple[int, NDArray[np.int16]]:
    """Sampling rate and samples, mono, 16 bits. Raises BadInput naming a file that is no WAV of PCM or floats."""
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", "Reached EOF", wavfile.WavFileWarning)  # the file is truncated
            warnings.filterwarnings("ignore", "Chunk", wavfile.WavFileWarning)  # metadata that scipy does not know
            rate, samples = wavfile.read(path)
    except (OSError, ValueError, struct.error, wavfile.WavFileWarning) as error:
        raise BadInput(
            f"{path} cannot be read as a WAV file ({str(error).rstrip('.')}): save it as PCM, or remove it."
        ) from error
    if samples.dtype.kind == "u":
        samples = (samples.astype(np.int16) - 128) * 256
    elif samples.dtype.kind == "i":  # of either byte order, left-justified
        samples = (samples >> 8 * (samples.dtype.itemsize - 2)).astype(np.int16)
    else:
        if not np.isfinite(samples).all() or np.abs(samples).max(initial=0) > LOUDEST:
            raise BadInput(f"{path} has samples that are not finite, or beyond ±{LOUDEST}: scale them to ±1.")
        samples = (samples * 32767).clip(-32768, 32767).astype(np.int16)
    return int(rate), mono(path, samples)


def mono(path: Path, samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """The mean of the channels. Raises BadInput if there is no sample."""
    if len(samples) == 0:
        raise BadInput(f"{path} holds 0 samples: replace or remove it.")
    return samples.mean(axis=1).astype(np.int16) if samples.ndim == 2 else samples


def resample(samples: NDArray[np.int16], rate: int, target: int) -> NDArray[np.int16]:
    """One recording at `target` in place of `rate` samples per second."""
    from scipy.signal import resample_poly

    divisor = int(np.gcd(rate, target))
    resampled: NDArray[np.float64] = resample_poly(samples.astype(float), target // divisor, rate // divisor)
    return resampled.clip(-32768, 32767).astype(np.int16)


def spectrogram_shape(samples: int, rate: int) -> tuple[int, int, int]:
    """Shape of one spectrogram: of a second, 1 x 161 x 101 at 16 kHz, 1 x 81 x 101 at 8 kHz."""
    window, hop = rate // 50, rate // 100
    return 1, window // 2 + 1, (samples + 2 * (window // 2) - window) // hop + 1  # as torch.stft pads an odd window


def to_samples(x: Tensor) -> Tensor:
    """Stored recordings, int16 -> samples in [-1, 1]."""
    return x.float() / 32768


def spectrogram(samples: Tensor, rate: int) -> Tensor:
    """log(1 + magnitude) of the short-time Fourier transform, scaled to mean 0 and standard deviation 1 per recording.

    Args:
        samples: N x samples in [-1, 1].
        rate: samples per second.

    Returns:
        N x 1 x frequencies x times, as `spectrogram_shape` says: Hamming windows of 20 ms every 10 ms. Silence gives
        zeros, not NaN.
    """
    window = torch.hamming_window(rate // 50, device=samples.device)
    log_magnitude = torch.stft(samples, rate // 50, rate // 100, window=window, return_complex=True).abs().log1p()
    std, mean = torch.std_mean(log_magnitude, dim=(1, 2), keepdim=True, correction=0)
    return ((log_magnitude - mean) / std.clamp_min(1e-6)).unsqueeze(1)
