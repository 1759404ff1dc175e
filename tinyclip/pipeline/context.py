"""What every stage of a run works with: made once, the same after a resume."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..config.load import fingerprint
from ..config.schema import Recipe
from ..data.batch import Batch
from ..data.broken import Why
from ..data.loader import Loader
from ..data.pairs import open_split
from ..data.protocol import Pairs
from ..data.tasks import Task, tasks_of
from ..data.unpaired import open_unpaired
from ..evaluation.features import Encoder
from ..evaluation.latency import latency
from ..evaluation.suite import (
    encoder_of,
    refuse_unfit,
    refuse_unmeasurable,
    report,
)
from ..formats.source import load_source
from ..model.clip import Clip
from ..model.store import Loaded
from ..training.engine import Engine
from ..training.loop import Watcher
from ..training.teacher.cached import cache_teacher
from ..training.teacher.live import Cached, LiveTeacher, Teacher
from ..training.teacher.stored import open_stored
from .belief import believed
from .caches import cache_of, caching, identity
from .loading import loader_of
from .others import OtherTeacher, open_others
from .run_dir import RunDir
from .run_unpaired import RunUnpaired
from .skipped import Skipped
from .vocabulary import trimmed

LOOKED = 64  # pairs of a part, where pairs are only looked at
JUDGED = 32  # pairs at least that students are compared on
CERTIFY = 64  # real pairs that the certificate looks at (design §3.2)


def measured_tasks(recipe: Recipe, split: tuple[Pairs, Pairs]) -> list[Task]:
    """The tasks that every student is measured on; known before one is trained.

    Args:
        split: the pairs to train on and to validate on.

    Raises:
        UserError: the pairs offer no task of a name.
    """
    if not recipe.evaluate:
        return []
    tasks = tasks_of(recipe.data, split=split, names=recipe.tasks)
    refuse_unmeasurable(tasks)
    return tasks


@dataclass
class RunContext:
    """Teacher, data and engine of a run, and who looks on.

    Args:
        teacher: as its source has it; what shares count from.
        folder: the run's.
        base: what the first stage starts from: the teacher, its vocabulary trimmed
            where the recipe asks for that.
        tasks: what every student is measured on.
        unpaired: what it has beside the pairs.
        accept: go on with what the run did not write.
        others: teachers of another make, beside it.
    """

    recipe: Recipe
    folder: RunDir
    engine: Engine
    teacher: Loaded
    base: Loaded
    train: Pairs
    val: Pairs
    tasks: list[Task]
    unpaired: RunUnpaired
    watcher: Watcher
    stop: Callable[[], bool]
    accept: bool = False
    others: tuple[OtherTeacher, ...] = ()
    _loaders: dict[int, Loader] = field(default_factory=dict)
    _certify: Batch | None = None
    _cached: Cached | None = None
    _measured_teacher: Encoder | None = None
    _known_fingerprints: dict[str, str] | None = None

    @classmethod
    def open(
        cls,
        recipe: Recipe,
        folder: RunDir,
        engine: Engine,
        watcher: Watcher,
        stop: Callable[[], bool],
        accept: bool = False,
    ) -> RunContext:
        """Load the teacher and the pairs that a recipe names.

        Raises:
            UserError: one of them cannot be had.
        """
        teacher = load_source(recipe.teacher, "teacher")
        train, val = open_split(recipe.data)
        teacher.tokenizer(["a"])  # one that lives on a hub is fetched, or refused, now
        others = open_others(recipe, train)
        tasks = measured_tasks(recipe, (train, val))
        sources = open_unpaired(recipe.data, val, tasks)
        base = trimmed(teacher, train, recipe.vocab, sources.texts or ())
        refuse_unfit(recipe.teacher, base, tasks)
        unpaired = RunUnpaired(recipe, sources, base, engine, folder, watcher)
        found = teacher, base, train, val, tasks, unpaired
        return cls(recipe, folder, engine, *found, watcher, stop, accept, others)

    def fingerprints(self) -> dict[str, str]:
        """Of the teacher's weights and of all else that it is, and of the data."""
        if self._known_fingerprints is None:
            self._known_fingerprints = self._fingerprints()
        return self._known_fingerprints

    def _fingerprints(self) -> dict[str, str]:
        data = {"data": self.train.fingerprint()}
        fingerprints = identity(self.teacher) | data
        fingerprints |= self.unpaired.sources.fingerprints
        if self.base is not self.teacher:
            fingerprints["vocabulary"] = fingerprint(self.base.tokenizer.to_dict())
        if self.recipe.cache is not None:
            _, index = cache_of(self.recipe, self.teacher, fingerprints["teacher"])
            fingerprints["cache"] = index.content
        for other in self.others:
            fingerprints |= other.fingerprints(self.recipe)
        return fingerprints

    def loader(self, batch: int) -> Loader:
        """Batches of the training pairs; the order depends on the run's seed alone."""
        if batch not in self._loaders:
            part = self.engine.rank, self.engine.world
            self._loaders[batch] = self._loader(
                self.train, batch, part, met=Skipped(self.folder.path).met
            )
        return self._loaders[batch]

    def _loader(
        self, pairs: Pairs, batch: int, part: tuple[int, int] = (0, 1), **more: Any
    ) -> Loader:
        return loader_of(self.recipe, pairs, self.base, batch, part=part, **more)

    def batches(self, batch: int, steps: int) -> Iterator[Batch]:
        """The first whole batches, the same in every process."""
        part = self.engine.world == 1
        loader = self.loader(batch) if part else self._loader(self.train, batch)
        return (loader.batch(step) for step in range(steps))

    def looked_at(self, samples: int) -> list[Batch]:
        """The first pairs, of each process its own part; they are not trained on."""
        world = self.engine.world
        whole = min(samples, LOOKED * world, len(self.train)) // world * world
        loader = self.loader(max(whole, world))  # fewer pairs than that are refused
        return [loader.batch(step) for step in range(-(-samples // loader.size))]

    def judged(self, samples: int) -> list[Batch]:
        """Validation pairs, at most so many, the same in every process; training pairs
        where there are too few to compare students on."""
        pairs = self.val if len(self.val) >= JUDGED else self.train
        loader = self._loader(pairs, min(samples, LOOKED, len(pairs)))
        steps = max(1, min(samples, len(pairs)) // loader.size)
        return [loader.batch(step) for step in range(steps)]

    def certify_batch(self) -> Batch:
        """Real pairs for the certificate: of the validation set if it has enough."""
        if self._certify is None:
            pairs = self.val if len(self.val) >= CERTIFY else self.train
            self._certify = self._loader(pairs, min(len(pairs), CERTIFY)).batch(0)
        return self._certify

    def broken(self) -> dict[str, Why]:
        """Every broken sample that was met in this process, by key."""
        found: dict[str, Why] = {}
        for loader in self._loaders.values():
            found |= loader.broken
        return found | self.unpaired.broken()

    def caching(self) -> bool:
        """Whether the teacher is run once a picture: when that is less work."""
        width = self.teacher.model.shape.embed_dim
        return caching(self.recipe, len(self.train), width)

    def live(self, scale: float | None) -> LiveTeacher:
        """The teacher itself, run on every batch."""
        own = None if self.base is self.teacher else self.teacher.tokenizer
        return LiveTeacher(self.teacher.model, self.engine, scale, own)

    def teacher_for(self, scale: float | None) -> Teacher:
        """The teacher as a phase asks for it; its features cached where that pays."""
        live = self.live(scale)
        if not self.caching():
            return live
        if self._cached is None:
            self._cached = self._features_of(live)
        return self._cached.with_scale_of(live)

    def other_teachers(self, scale: float | None) -> tuple[Teacher, ...]:
        """The teachers of another make, as a phase asks for them."""
        return tuple(
            other.teacher_for(scale, self.engine, self._cached_of(other))
            for other in self.others
        )

    def _cached_of(self, other: OtherTeacher) -> Cached | None:
        """The features of one of them, where they are held."""
        width = other.loaded.model.shape.embed_dim
        if not caching(self.recipe, len(self.train), width):
            return None
        if other.cached is None:
            live = LiveTeacher(other.loaded.model, self.engine, None)
            made_of = other.identity | {"data": self.fingerprints()["data"]}
            path, weights = self.folder.path / other.file, other.identity["teacher"]
            where = other.loader, path
            other.cached = self._held(other.loaded, weights, live, *where, made_of)
        return other.cached

    def _features_of(self, live: LiveTeacher) -> Cached:
        """All of the teacher's features."""
        loader, made_of = next(iter(self._loaders.values())), self.fingerprints()
        where = loader, self.folder.teacher_cache
        return self._held(self.teacher, made_of["teacher"], live, *where, made_of)

    def features_made_of(self, teacher: Loaded, made_of: Mapping[str, str]) -> str:
        """A fingerprint of all that a teacher's features depend on."""
        recipe, data = self.recipe, self.recipe.data
        augmentations = [data.augmentations, data.crop, recipe.seed]
        how = {"augmentations": augmentations, "precision": recipe.precision}
        transform = {"preprocess": teacher.preprocess.to_dict()}
        return fingerprint({**made_of, **transform, **how})

    def _held(
        self,
        teacher: Loaded,
        weights: str,
        live: LiveTeacher,
        loader: Loader,
        path: Path,
        made_of: Mapping[str, str],
    ) -> Cached:
        """All of a teacher's features: made beforehand, or before the first step."""
        recipe, data = self.recipe, self.recipe.data
        if recipe.cache is not None:
            return open_stored(*cache_of(recipe, teacher, weights), live, loader)
        fixed = self.features_made_of(teacher, made_of)
        total = len(self.train) * data.augmentations
        self.watcher.phase(0, "teacher features", 0, total)

        def progress(done: int, _total: int) -> None:
            self.watcher.step({"step": done})

        with self.engine.main_first():  # the others read what it wrote
            return cache_teacher(live, loader, path, fixed, progress)

    def measure(self, student: Loaded) -> dict[str, Any]:
        """What `metrics.json` says of a student: its tasks beside the teacher, alarms,
        and how fast it is here."""
        if self._measured_teacher is None:  # what it encodes is kept for all stages
            self._measured_teacher = encoder_of(self.teacher)
        teacher = self._measured_teacher
        if believed(self.folder, "teacher.json", self.accept) is None:
            figures = report(teacher, self.tasks)["tasks"]
            found = {"tasks": figures, "latency": latency(self.teacher.model)}
            self.folder.write("teacher.json", found)
        found = report(encoder_of(student), self.tasks, teacher)
        return {**found, "latency": latency(student.model)}

    def seed_of(self, stage: int, what: str) -> int:
        """A seed of one thing that is left to chance in a stage."""
        text = f"{self.recipe.seed}/{stage}/{what}".encode()
        return int.from_bytes(hashlib.sha256(text).digest()[:6], "big")


def on_cpu(model: Clip) -> Clip:
    """The model for certificates and files: float32 on the CPU, no gradient left."""
    model.zero_grad(set_to_none=True)
    return model.to(torch.device("cpu")).requires_grad_(True)
