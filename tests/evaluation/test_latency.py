"""Latency is of the image tower, in eval mode."""

from __future__ import annotations

import time

import pytest

from tinyclip.evaluation import latency as room
from tinyclip.evaluation.latency import latency


def test_median_and_ninth_decile_in_milliseconds(pico_clip, monkeypatch) -> None:
    """Runs of 1, 2, ... 11 ms; those that warm up take 100 and do not count."""
    clock = iter(
        t
        for run, ms in enumerate([100] * room.WARM_UP + list(range(1, 12)))
        for t in (run, run + ms / 1e3)
    )
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    milliseconds = latency(pico_clip, repeats=11)
    assert milliseconds == pytest.approx({"median_ms": 6.0, "p90_ms": 10.0})


def test_the_batch_is_the_one_asked_for(pico_clip, monkeypatch) -> None:
    seen = []
    real = pico_clip.encode_image

    def encode(pixels, normalize):
        seen.append((tuple(pixels.shape), pico_clip.training))
        return real(pixels, normalize=normalize)

    monkeypatch.setattr(pico_clip, "encode_image", encode)
    pico_clip.train()
    latency(pico_clip, batch=3, repeats=2)
    assert set(seen) == {((3, 3, 16, 16), False)}
    assert pico_clip.training
