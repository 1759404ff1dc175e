"""What feeds the steps of a run beside its pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..config.schema import Recipe, Stage
from ..data.broken import Dropped, Why
from ..data.loader import Loader
from ..data.seeds import number
from ..data.unpaired import TextLoader, UnpairedLoader, UnpairedSources
from ..errors import UserError
from ..model.store import Loaded
from ..training.engine import Engine
from ..training.loop import Watcher
from ..training.teacher.live import LiveTeacher, Teacher
from ..training.teacher.unpaired import cached_pictures, cached_texts
from ..training.unpaired import (
    OfPictures,
    OfTexts,
    UnpairedTeacher,
)
from .loading import loader_of
from .run_dir import RunDir
from .skipped import Skipped
from .unpaired import cached_kinds, per_step


@dataclass
class RunUnpaired:
    """What a run has beside its pairs, as its steps see it.

    Args:
        base: whose transform and tokenizer make pixels and tokens.
    """

    recipe: Recipe
    sources: UnpairedSources
    base: Loaded
    engine: Engine
    folder: RunDir
    watcher: Watcher
    _pictures: dict[int, Loader] = field(default_factory=dict)
    _texts: dict[int, TextLoader] = field(default_factory=dict)
    _cached_pictures: OfPictures | None = None
    _cached_texts: OfTexts | None = None

    def loader(self, stage: Stage) -> UnpairedLoader:
        """What the steps of a stage see beside their pairs.

        Raises:
            UserError: they do not divide among the processes.
        """
        counts = per_step(self.recipe, stage)
        for kind, count in counts.items():
            if count % self.engine.world:
                raise UserError(
                    f"stages[*].{kind}",
                    f"{count} {kind} a step do not divide among {self.engine.world} "
                    "processes",
                    f"Use a multiple of {self.engine.world}",
                )
        pictures = texts = None
        if "images" in counts:
            pictures = self._pictures_of(counts["images"])
        if "texts" in counts:
            texts = self._texts_of(counts["texts"])
        return UnpairedLoader(pictures, texts)

    def _pictures_of(self, count: int) -> Loader:
        pictures = self.sources.pictures
        assert pictures is not None
        if count not in self._pictures:
            self._pictures[count] = loader_of(
                self.recipe,
                pictures,
                self.base,
                count,
                # of its own: the same pictures may be among the pairs
                seed=number(self.recipe.seed, "images"),
                part=(self.engine.rank, self.engine.world),
                met=self._met,
            )
        return self._pictures[count]

    def _met(self, key: str, why: Why) -> None:
        Skipped(self.folder.path).met(self._named(key), why)

    def _named(self, key: str) -> str:
        """What a picture is called beside those of pairs."""
        return f"{self.recipe.data.images}: {key}"

    def _texts_of(self, count: int) -> TextLoader:
        texts = self.sources.texts
        assert texts is not None
        if count not in self._texts:
            self._texts[count] = TextLoader(
                texts,
                self.base.tokenizer,
                seed=number(self.recipe.seed, "texts"),
                batch=count,
                part=(self.engine.rank, self.engine.world),
            )
        return self._texts[count]

    def teacher(
        self, pairs: Teacher, live: LiveTeacher, stage: Stage, made_of: str
    ) -> UnpairedTeacher:
        """The teacher of pairs and of what has none; its features cached where that is
        less work.

        Args:
            made_of: a fingerprint of all that the teacher's features depend on.
        """
        loader = self.loader(stage)
        of_pictures = of_texts = None
        if loader.pictures is not None:
            of_pictures = self._of_pictures(live, loader.pictures, made_of)
        if loader.texts is not None:
            of_texts = self._of_texts(live, loader.texts, made_of)
        return UnpairedTeacher(pairs, of_pictures, of_texts)

    def _of_pictures(
        self, live: LiveTeacher, loader: Loader, made_of: str
    ) -> OfPictures | None:
        rows = len(loader.indices) * loader.augmentations
        if not self.caching("images"):
            return UnpairedTeacher.live(live).pictures
        if self._cached_pictures is None:
            self.watcher.phase(0, "teacher features of pictures", 0, rows)
            path = self.folder.cache_of("images")
            with self.engine.main_first():  # the others read what it wrote
                self._cached_pictures = cached_pictures(
                    live,
                    loader,
                    path,
                    made_of,
                    lambda done, _total: self.watcher.step({"step": done}),
                )
        return self._cached_pictures

    def _of_texts(
        self, live: LiveTeacher, loader: TextLoader, made_of: str
    ) -> OfTexts | None:
        if not self.caching("texts"):
            return UnpairedTeacher.live(live).texts
        if self._cached_texts is None:
            path = self.folder.cache_of("texts")
            with self.engine.main_first():
                self._cached_texts = cached_texts(live, loader, path, made_of)
        return self._cached_texts

    def caching(self, kind: str) -> bool:
        """Whether the teacher's features of a kind are made once."""
        width = self.base.model.shape.embed_dim
        return kind in cached_kinds(self.recipe, self.sources.counts, width)

    def broken(self) -> dict[str, Why]:
        """Every broken picture that was met, by source and key."""
        return {
            self._named(key): why
            for loader in self._pictures.values()
            for key, why in loader.broken.items()
        }

    def dropped(self, of_pairs: Mapping[str, int]) -> Dropped:
        """What was left out of both sources, and of the pairs."""
        data, sources, dropped = self.recipe.data, self.sources, Dropped()
        dropped.merge(of_pairs, getattr(of_pairs, "rows", {}))
        found = {data.images: sources.pictures, data.texts: sources.texts}
        for name, source in found.items():
            if source is not None:
                rows = getattr(source.dropped, "rows", {})
                named = {f"{name}: {key}": why for key, why in rows.items()}
                dropped.merge(source.dropped, named)
        return dropped
