"""Who teaches the phases of a stage: the run's teacher, and students of earlier stages.

Knowledge distillation by way of assistants: each student teaches the next (Mirzadeh et
al., AAAI 2020), or all that came before teach together (Son et al., ICCV 2021). The
stages of a run are such assistants, whichever model each of them starts from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..config.load import fingerprint
from ..config.phases.phase import TrainingSettings
from ..config.schema import Stage
from ..model.clip import Clip
from ..model.store import load_model
from ..training.teacher.beside import Beside, Widened
from ..training.teacher.live import LiveTeacher, Teacher
from ..training.unpaired import UnpairedTeacher
from .context import RunContext
from .run_dir import StageDir
from .unpaired import looks_alone


@dataclass(frozen=True)
class EarlierStudent:
    """What a stage before left in the run's folder.

    Args:
        channels: of the teacher's embedding that it has; None for all.
        weights: their SHA-256.
    """

    folder: StageDir
    channels: tuple[int, ...] | None
    weights: str | None


def taught_by(stage: Stage, earlier: int) -> list[int]:
    """Which of so many earlier stages have students that teach a phase of this one."""
    phases = stage.running().values()
    return sorted({place for p in phases for place in p.earlier_teachers(earlier)})


def made_of(
    stage: Stage, earlier: Sequence[EarlierStudent], made_from: str | None
) -> str | None:
    """Of which weights a stage is made: those that it starts from, and those of the
    students that teach it.

    Args:
        made_from: SHA-256 of the former; None for the teacher's.
    """
    places = taught_by(stage, len(earlier))
    if not places:
        return made_from
    teachers = [earlier[place].weights for place in places]
    return fingerprint({"start": made_from, "teachers": teachers})


@dataclass(frozen=True)
class StageTeachers:
    """Who teaches in a stage.

    Args:
        earlier: the students of all stages before, in their order.
        seed: of which assistants stay in a step.
    """

    run: RunContext
    settings: Stage
    earlier: tuple[EarlierStudent, ...]
    seed: int
    _models: dict[int, Clip] = field(default_factory=dict, repr=False)

    def first(self, phase: TrainingSettings) -> Teacher:
        """The one that always teaches a phase."""
        if phase.asks_run_teacher(len(self.earlier)):
            return self._runs(phase)
        return self._assistants(phase)[0]

    def _runs(self, phase: TrainingSettings) -> Teacher:
        """The run's teacher, of what has no pair too where a phase looks at it."""
        run, scale = self.run, self.settings.scale
        run.loader(self.settings.batch)
        teacher = run.teacher_for(scale)
        if not looks_alone(phase):
            return teacher
        made_of = run.features_made_of(run.teacher, run.fingerprints())
        return run.unpaired.teacher(teacher, run.live(scale), self.settings, made_of)

    def live(self, phase: TrainingSettings) -> LiveTeacher:
        """That one itself, for whoever needs more than its features."""
        if phase.asks_run_teacher(len(self.earlier)):
            return self.run.live(self.settings.scale)
        return self._live(self.earlier[-1])

    def beside(self, phase: TrainingSettings) -> Beside:
        """Who teaches beside it."""
        if not phase.asks_run_teacher(len(self.earlier)):
            return Beside()
        others = self.run.other_teachers(self.settings.scale)
        return Beside(others, self._assistants(phase), phase.dropped, self.seed)

    def _assistants(self, phase: TrainingSettings) -> tuple[Teacher, ...]:
        places = phase.earlier_teachers(len(self.earlier))
        alone = looks_alone(phase)
        return tuple(self._as_wide(self.earlier[place], alone) for place in places)

    def _as_wide(self, student: EarlierStudent, alone: bool) -> Teacher:
        teacher: Teacher = self._live(student)
        if alone:
            teacher = UnpairedTeacher.live(self._live(student))
        if student.channels is None:
            return teacher
        width = self.run.teacher.model.shape.embed_dim
        return Widened(teacher, student.channels, width)

    def _live(self, student: EarlierStudent) -> LiveTeacher:
        number = student.folder.number
        if number not in self._models:
            self._models[number] = load_model(student.folder.model).model
        # it reads the same pixels and ids as its successors
        model, scale = self._models[number], self.settings.scale
        return LiveTeacher(model, self.run.engine, scale)
