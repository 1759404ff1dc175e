"""Classes that a test cannot be made of; where a model is trained on them, they are
warned of."""

from __future__ import annotations

from collections.abc import Sequence

from ..config.schema import Data
from ..errors import UserError
from .classes import CODE, listed
from .imagenet import SCHEME
from .task import FewShotTask, MultiLabelTask, ProbeTask, Task, ZeroShotTask
from .views import source_of


def refuse_unsound(data: Data, tasks: Sequence[Task]) -> None:
    """Refuse a class without a picture, and classes of which no word says anything.

    Raises:
        UserError: as said.
    """
    for task in tasks:
        if isinstance(task, ZeroShotTask | MultiLabelTask | ProbeTask | FewShotTask):
            _refuse_empty(data, task)
        if isinstance(task, ZeroShotTask | MultiLabelTask | FewShotTask):
            _refuse_codes(data, task)


def _refuse_empty(data: Data, task: Task) -> None:
    empty = getattr(source_of(task.pairs), "empty", ())
    if empty:
        raise UserError(
            task.pairs.name,
            f"classes without a picture: {listed(empty)}",
            "Remove their folders, or put pictures there",
        )


def _refuse_codes(
    data: Data, task: ZeroShotTask | MultiLabelTask | FewShotTask
) -> None:
    codes = [name for name in task.classes if CODE.fullmatch(name)]
    if data.class_names is None and 2 * len(codes) > len(task.classes):
        raise UserError(
            data.source,
            f"{len(codes)} of {len(task.classes)} class names are numbers or codes "
            f"({listed(codes)}), and no model knows what they mean",
            "Name them: --set data.class_names=FILE with lines like "
            f"'{codes[0]} tench', or for ImageNet {SCHEME}imagenet",
        )
