"""The pairs that an export is compared on."""

from __future__ import annotations

import pytest
import torch

from tinyclip.errors import TinyclipError
from tinyclip.formats.parity import (
    Probe,
    apart,
    compare_agreeing,
    random_probe,
    with_edges,
)
from tinyclip.formats.source import load_source
from tinyclip.model.store import Loaded

ROOM = 16  # ids a caption of pico; start and end take two


@pytest.fixture(scope="module")
def pico() -> Loaded:
    return load_source("builtin:pico")


@pytest.fixture
def edges(pico: Loaded) -> tuple[str, ...]:
    """The captions that are added to two of the user's."""
    probe = Probe("random", random_probe(2).images, ("a cat sat", "cats"))
    pairs = with_edges(probe, pico.tokenizer)
    assert pairs.captions[:2] == probe.captions and pairs.images is probe.images
    return pairs.captions[2:]


def test_an_empty_caption_is_compared(edges: tuple[str, ...]) -> None:
    assert "" in edges


def test_a_caption_that_just_fills_the_context_is_compared(
    edges: tuple[str, ...],
) -> None:
    # "a" is one id
    counts = [len(one.split()) for one in edges]
    assert {ROOM - 3, ROOM - 2, ROOM - 1} <= set(counts)


def test_a_caption_of_many_contexts_is_compared(edges: tuple[str, ...]) -> None:
    assert max(len(one.split()) for one in edges) == 4 * ROOM


def test_edges_are_made_of_the_probes_own_words(edges: tuple[str, ...]) -> None:
    assert set(" ".join(edges).split()) == {"a"}


def test_ids_of_another_length_are_refused(pico: Loaded) -> None:
    probe = random_probe(2)
    tokens = pico.tokenizer(probe.captions)
    pixels = torch.zeros(2, 3, 16, 16)
    with pytest.raises(TinyclipError, match="makes 9 ids of a caption, and 16 are"):
        compare_agreeing(
            pico.model,
            pico.model,
            probe,
            (pixels, pixels),
            (tokens, tokens[:, :9]),
            torch.ones(2, dtype=torch.bool),
            "transformers",
        )


def test_int8_is_compared_on_other_pairs_than_it_was_calibrated_on() -> None:
    probe, calibration = apart("random")
    assert calibration is not None
    assert (len(probe), len(calibration)) == (32, 128)
    assert not {*probe.captions} & {*calibration.captions}
