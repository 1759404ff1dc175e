"""The embedded scenes' texts under the embedded teacher's tokenizer."""

from __future__ import annotations

import pytest

from tinyclip.config.schema import Data
from tinyclip.data.scenes import Scenes
from tinyclip.data.task import ChoiceTask, TwoObjectsTask
from tinyclip.data.tasks import tasks_of
from tinyclip.formats.lookup import open_model

SCENES = ("scene_attribution", "scene_relation", "scene_objects")


@pytest.fixture(scope="module")
def tasks():
    return tasks_of(Data(source="builtin:pictograms"), names=SCENES)


def test_no_text_is_cut_by_the_embedded_teacher_s_context(tasks) -> None:
    texts = set()
    for task in tasks:
        assert isinstance(task, ChoiceTask | TwoObjectsTask)
        texts |= {text for own in task.texts for text in own}
    tokenizer = open_model("builtin:pictoclip").loaded.tokenizer
    tokens = tokenizer(sorted(texts))
    assert (tokens[:, -1] == 0).all()  # one that is cut ends with the mark of the end


def test_all_things_of_the_list_are_in_scenes_of_the_held_out_designer(tasks) -> None:
    attribution = tasks[0]
    assert isinstance(attribution.pairs, Scenes)
    shown = {scene.first.name for scene in attribution.pairs.scenes}
    assert len(shown) == 48 and len(attribution.pairs) == 4 * 192
    assert not attribution.pairs.dropped
