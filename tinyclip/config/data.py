"""The settings of the pairs."""

from __future__ import annotations

from dataclasses import dataclass

from .setting import setting


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where pairs come from and how they reach the model."""

    source: str = setting(
        "builtin:pictograms", "image-text pairs: a source, csv:FILE or tars:..."
    )
    val: str | None = setting(
        None, "validation pairs; null: 2 % (100 to 2,000) of the pairs, by hash"
    )
    image_column: str | None = setting(
        None, "column of a table that holds pictures; null: found by its name"
    )
    caption_column: str | None = setting(
        None, "column of a table that holds captions; null: found by its name"
    )
    label_column: str | None = setting(
        None,
        "column of a table that holds classes, of whose names captions are made",
        later=True,
    )
    class_names: str | None = setting(
        None,
        "a file, or openclip:imagenet: what classes are called; null: as they are",
        later=True,
    )
    templates: str | None = setting(
        None,
        "a file, or openclip:imagenet: what zero-shot says; null: the data's own",
        later=True,
    )
    limit: int | None = setting(
        None,
        "most pairs to train on, chosen by hash of their keys; null: all",
        low=1,
        later=True,
    )
    exclude: tuple[str, ...] = setting((), "globs on the key: rows that are dropped")
    background: str = setting("white", "colour that transparency is laid on")
    augmentations: int = setting(
        1, "seeded augmentations of a picture; 1: as it is", low=1
    )
    crop: float = setting(
        0.9, "smallest share of a picture that a crop keeps", above=0, high=1
    )
    workers: int = setting(0, "threads that decode pictures; 0: the main one", low=0)
    max_broken_share: float = setting(
        0.01, "share of broken pairs over which the run stops", low=0, high=1
    )
