"""Real answers of a teacher and its student."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from tinyclip.data.task import MultiLabelTask, ProbeTask
from tinyclip.data.tasks import RetrievalTask, ZeroShotTask
from tinyclip.report.gallery import SHOWN, SIDE, gallery, has_answers

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
NAMES = tuple(COLOURS)


@dataclass
class Squares:
    """Thirty squares, ten a colour, captioned with it."""

    name: str = "squares"
    dropped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return 30

    def key(self, i: int) -> str:
        return str(i)

    def captions(self, i: int) -> tuple[str, ...]:
        return (f"a {NAMES[i % 3]} square", f"{NAMES[i % 3]}")

    def image(self, i: int) -> Image.Image:
        return Image.new("RGB", (300, 200), COLOURS[NAMES[i % 3]])

    def fingerprint(self) -> str:
        return "squares"


class ByColour(nn.Module):
    """Tells colours apart, all but those that it takes for others."""

    def __init__(self, wrong: dict[int, int]) -> None:
        super().__init__()
        self.anything = nn.Parameter(torch.zeros(1))
        self.wrong = wrong

    def encode_image(self, pixels: Tensor) -> Tensor:
        colours = pixels.mean(dim=(2, 3)).argmax(dim=1)
        seen = [self.wrong.get(int(c), int(c)) for c in colours]
        return torch.eye(3)[seen]

    def encode_text(self, tokens: Tensor) -> Tensor:
        return torch.eye(3)[tokens[:, 0]]


@dataclass
class Looker:
    model: Any

    @staticmethod
    def preprocess(image: Image.Image) -> Tensor:
        raw = torch.frombuffer(
            bytearray(image.resize((2, 2)).tobytes()), dtype=torch.uint8
        )
        return raw.view(2, 2, 3).permute(2, 0, 1).float()

    @staticmethod
    def tokenizer(texts: list[str]) -> Tensor:
        return torch.tensor(
            [[next(i for i, n in enumerate(NAMES) if n in text)] for text in texts]
        )


def looker(**wrong: str) -> Looker:
    places = {NAMES.index(a): NAMES.index(b) for a, b in wrong.items()}
    return Looker(ByColour(places))


def zero_shot() -> ZeroShotTask:
    labels = tuple(i % 3 for i in range(30))
    return ZeroShotTask("colours", Squares(), labels, NAMES, ("a {} thing", "{}"))


def test_pictures_are_sorted_by_who_is_right() -> None:
    found = gallery(zero_shot(), looker(red="green"), looker(red="blue", green="red"))
    counts = {kind.title: kind.count for kind in found.kinds}
    assert found.looked == 30
    assert counts == {
        "Both are right": 10,  # blue
        "Only the teacher is right": 10,  # green
        "Only the student is right": 0,
        "Neither is right": 10,  # red
    }
    only = found.kinds[1].shown
    assert len(only) == SHOWN
    answers = {(a.right, a.teacher, a.student) for a in only}
    assert answers == {("green", "green", "red")}


def test_any_caption_of_a_picture_is_right() -> None:
    found = gallery(RetrievalTask("find", Squares()), looker(), looker(blue="red"))
    assert [kind.count for kind in found.kinds] == [20, 10, 0, 0]
    right = {one.right for one in found.kinds[1].shown}
    assert right == {"a blue square / blue"}


def test_what_is_shown_is_small_and_follows_from_keys_alone() -> None:
    one, other = (gallery(zero_shot(), looker(), looker()) for _ in range(2))
    assert one == other
    kind, _, encoded = one.kinds[0].shown[0].picture.partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        assert max(picture.size) == SIDE


def test_a_task_without_one_answer_in_words_has_no_gallery() -> None:
    pairs = Squares()
    probe = ProbeTask("knn", "knn", pairs, (0,) * 30, pairs, (0,) * 30, ("a", "b"))
    labels = MultiLabelTask("labels", pairs, ((0, 1),) * 30, ("a", "b"), ("{}",))
    assert has_answers(RetrievalTask("retrieval", pairs))
    assert not any(map(has_answers, (probe, labels, None)))
