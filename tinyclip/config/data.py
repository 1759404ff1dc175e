"""The settings of the pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .setting import setting

# settings that pictures have whether there are captions or not
OF_PICTURES = "exclude", "background", "augmentations", "crop", "max_broken_share"


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where pairs come from and how they reach the model."""

    captioned: ClassVar[bool] = True  # whether rows without a caption are of no use
    column: ClassVar[str] = "image"  # what `COLUMN_column` names the pictures' column

    source: str = setting(
        "builtin:pictograms", "image-text pairs: a source, csv:FILE or tars:..."
    )
    val: str | None = setting(
        None, "validation pairs; null: 2 % (100 to 2,000) of the pairs, by hash"
    )
    image_root: str | None = setting(
        None, "folder of the pictures of a json:FILE; null: the file's own", later=True
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
    shots: tuple[int, ...] = setting(
        (1, 4, 16), "pictures of a class that few-shot tasks show", low=1, later=True
    )
    shot_draws: int = setting(
        3, "how often shots are drawn; figures are means over draws", low=1, later=True
    )
    limit: int | None = setting(
        None,
        "most pairs to train on, chosen by hash of their keys; null: all",
        low=1,
        later=True,
    )
    images: str | None = setting(
        None, "pictures beside the pairs, their captions not read: a source", later=True
    )
    images_column: str | None = setting(
        None, "column of a table of `images`; null: found by its name", later=True
    )
    texts: str | None = setting(
        None,
        "texts beside the pairs: a file of one a line, or csv:FILE, tsv:FILE",
        later=True,
    )
    texts_column: str | None = setting(
        None, "column of a table of `texts`; null: found by its name", later=True
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

    @property
    def has_unpaired(self) -> bool:
        """Whether anything has no pair."""
        return self.images is not None or self.texts is not None


class Pictures(Data):
    """Where pictures come from whose captions are neither looked for nor needed."""

    captioned = False
    column = "images"

    @classmethod
    def of(cls, data: Data) -> Pictures:
        """The pictures beside some pairs, all of them."""
        assert data.images is not None
        shared = {name: getattr(data, name) for name in OF_PICTURES}
        return cls(source=data.images, image_column=data.images_column, **shared)
