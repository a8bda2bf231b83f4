"""Recordings in the folder layout of Speech Commands, and their spectrograms."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.io import wavfile

from tests.helpers import datafiles
from tune_kmixup.core.errors import BadInput
from tune_kmixup.data import audio
from tune_kmixup.data.download import fetch, load_arrays


def test_speech_commands_of_both_versions(tmp_path: Path) -> None:
    for version in ("0.01", "0.02"):
        datafiles.write_speech_commands(tmp_path / "SpeechCommands" / f"speech_commands_v{version}")
        arrays = audio.speech_commands_loader(version)(tmp_path, False)
        assert arrays["x"].shape == (16, 16000) and arrays["x"].dtype == np.int16 and arrays["rate"] == 16000
        assert arrays["y"].tolist() == [0] * 8 + [1] * 8  # no, yes; background noise is not a word
        assert arrays["group"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3] * 2
        assert arrays["part"].tolist() == [1, 0, 0, 2, 0, 0, 0, 0] * 2
        assert arrays["changed"].tolist() == [1, 1, 1]  # resampled, padded, cut


def test_recordings_of_other_lengths_and_rates_become_one_second(tmp_path: Path) -> None:
    datafiles.write_speech_commands(tmp_path, words=("yes", "no"))
    arrays = audio.load_word_folders(tmp_path, ["yes", "no"])
    short, long, slow = arrays["x"][4], arrays["x"][5], arrays["x"][6]
    assert (short[:8000] == 7).all() and (short[8000:] == 0).all()
    assert (long == 8).all()
    assert np.abs(slow[100:-100] - 9.0).max() <= 1  # half the rate, one second


def test_resampling_keeps_a_tone() -> None:
    seconds = np.arange(22050) / 22050
    wave = (10000 * np.sin(2 * np.pi * 440 * seconds)).astype(np.int16)
    resampled = audio.resample(wave, 22050, 16000)
    assert len(resampled) == 16000
    expected = 10000 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert np.abs(resampled - expected)[200:-200].max() < 100


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
@pytest.mark.parametrize("channels", [1, 2])
def test_wav_sample_formats(dtype: type[np.generic], channels: int, tmp_path: Path) -> None:
    wave = np.linspace(-0.5, 0.5, 8000)[:, None].repeat(channels, axis=1)
    scale = {np.uint8: (127, 128), np.int16: (32767, 0), np.int32: (2**31 - 1, 0), np.float32: (1, 0)}[dtype]
    wavfile.write(tmp_path / "a.wav", 8000, (wave * scale[0] + scale[1]).astype(dtype).squeeze())
    rate, samples = audio.read_wav(tmp_path / "a.wav")
    assert rate == 8000 and samples.dtype == np.int16 and samples.shape == (8000,)
    assert np.abs(samples / 32768 - wave[:, 0]).max() < 0.012  # 8 bits are coarse


def test_bad_recordings_are_named(tmp_path: Path) -> None:
    datafiles.write_speech_commands(tmp_path, irregular=False)
    (tmp_path / "yes" / "anna_nohash_0.wav").write_bytes(b"RIFF")
    with pytest.raises(BadInput, match=r"yes/anna_nohash_0\.wav cannot be read as a WAV file"):
        audio.load_word_folders(tmp_path)
    intact = (tmp_path / "no" / "anna_nohash_0.wav").read_bytes()
    (tmp_path / "yes" / "anna_nohash_0.wav").write_bytes(intact[: len(intact) // 2])
    with pytest.raises(BadInput, match=r"anna_nohash_0\.wav cannot be read as a WAV file .*EOF"):
        audio.load_word_folders(tmp_path)
    wavfile.write(tmp_path / "yes" / "anna_nohash_0.wav", 16000, np.zeros(0, np.int16))
    with pytest.raises(BadInput, match=r"anna_nohash_0\.wav holds 0 samples"):
        audio.load_word_folders(tmp_path)
    (tmp_path / "yes" / "anna_nohash_0.wav").unlink()
    with pytest.raises(BadInput, match=r"validation_list\.txt lists yes/anna_nohash_0\.wav, which does not exist"):
        audio.load_word_folders(tmp_path)
    (tmp_path / "testing_list.txt").unlink()
    (tmp_path / "validation_list.txt").write_text("")
    with pytest.raises(BadInput, match=r"testing_list\.txt does not exist"):
        audio.load_word_folders(tmp_path)


def test_spoken_digits_are_the_same_from_a_clone_and_from_word_folders(tmp_path: Path) -> None:
    clone = tmp_path / "clone" / "free-spoken-digit-dataset" / "recordings"
    folders = tmp_path / "folders" / "speech_commands"
    clone.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for digit, word in enumerate(audio.DIGITS):
        (folders / word).mkdir(parents=True)
        for speaker in ("jackson", "theo"):
            for i in (0, 4, 5, 9, 10):
                wave = rng.integers(-99, 99, 8000).astype(np.int16)
                wavfile.write(clone / f"{digit}_{speaker}_{i}.wav", 8000, wave)
                wavfile.write(folders / word / f"{speaker}_nohash_{i}.wav", 8000, wave)
    for name, numbers in (("testing", (0, 4)), ("validation", (5, 9))):
        lines = [f"{word}/{s}_nohash_{i}.wav\n" for word in audio.DIGITS for s in ("jackson", "theo") for i in numbers]
        (folders / f"{name}_list.txt").write_text("".join(lines))
    from_clone, from_folders = (audio.load_spoken_digits(tmp_path / name, False) for name in ("clone", "folders"))
    assert from_clone.keys() == from_folders.keys()
    for key in from_clone:
        np.testing.assert_array_equal(from_clone[key], from_folders[key])
    assert np.bincount(from_clone["part"]).tolist() == [20, 40, 40]


def test_folders_of_other_words_are_refused_as_spoken_digits(tmp_path: Path) -> None:
    datafiles.write_speech_commands(tmp_path / "speech_commands")
    with pytest.raises(BadInput, match="words that are not the ten digits"):
        fetch("spoken_digits", tmp_path)


def test_spoken_digits_are_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"git clone https://github\.com/Jakobovski/free-spoken-digit-dataset"):
        fetch("spoken_digits", tmp_path)


def test_one_npz_serves_both_data_sets_of_spoken_digits(tmp_path: Path) -> None:
    datafiles.write_speech_commands(tmp_path / "speech_commands", words=tuple(audio.DIGITS), rate=800, irregular=False)
    fetch("spoken_digits", tmp_path)
    assert "part" in load_arrays("spoken_digits", tmp_path)
    assert "part" not in load_arrays("spoken_digits_speakers", tmp_path)


@pytest.mark.parametrize(("rate", "shape"), [(16000, (1, 161, 101)), (8000, (1, 81, 101))])
def test_spectrogram_peaks_at_the_frequency_of_a_tone(rate: int, shape: tuple[int, int, int]) -> None:
    assert audio.spectrogram_shape(rate, rate) == shape
    seconds = torch.arange(rate) / rate
    tones = torch.tensor([500.0, 1500.0, 3000.0])
    wave = torch.sin(2 * math.pi * tones[:, None] * seconds)
    spectrogram = audio.spectrogram(wave, rate)
    assert spectrogram.shape == (3, *shape)
    loudest = spectrogram[:, 0].mean(2).argmax(1)  # bins of 50 Hz
    assert torch.equal(loudest, (tones / 50).long())
    assert spectrogram.mean((1, 2, 3)).abs().max() < 1e-4
    assert (spectrogram.std((1, 2, 3), correction=0) - 1).abs().max() < 1e-4


@pytest.mark.parametrize("rate", [1000, 8000, 11025, 22050, 44100])
@pytest.mark.parametrize("samples", [1654, 16500, 22050, 6600])
def test_the_shape_of_a_spectrogram_is_known_beforehand(rate: int, samples: int) -> None:
    """At 22,050 Hz a window has an odd number of samples, and torch pads one less."""
    assert audio.spectrogram(torch.zeros(2, samples), rate).shape[1:] == audio.spectrogram_shape(samples, rate)


def test_silence_gives_zeros() -> None:
    assert torch.equal(audio.spectrogram(torch.zeros(2, 8000), 8000), torch.zeros(2, 1, 81, 101))


def test_stored_recordings_become_samples() -> None:
    samples = audio.to_samples(torch.tensor([[-32768, 0, 32767]], dtype=torch.int16))
    assert samples.tolist() == [[-1.0, 0.0, 32767 / 32768]]
