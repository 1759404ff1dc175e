"""Probes on captions: what is made of which pictures."""

from __future__ import annotations

from tinyclip.data.caption_probes import Told, order, told_by_captions
from tinyclip.data.shuffles import SHUFFLES, shuffled


def test_the_caption_of_most_words_is_taken_in_small_letters(make_listed) -> None:
    pairs = make_listed([("A dog", "A Brown dog", "a small dog"), ("Ant",)])
    assert told_by_captions(pairs).texts == ["a brown dog", "ant"]


def test_each_shuffle_is_a_part_and_what_it_cannot_change_is_counted(
    make_listed,
) -> None:
    texts = ["a red dog on a blue sofa", "dog", "red dog"]
    task = order(Told(make_listed([(text,) for text in texts]), texts, texts))
    assert task is not None
    assert list(dict.fromkeys(task.parts)) == [*SHUFFLES]
    assert task.left_out == {
        "nouns_adjectives": 2,
        "other_words": 2,
        "trigrams": 2,
        "within_trigrams": 2,
        "all_words": 1,
    }
    items = zip(task.rows, task.parts, task.texts, strict=True)
    for row, part, answers in items:
        own = task.pairs.captions(row)[0]
        assert answers == (own, shuffled(own, part))


def test_pictures_without_an_item_are_not_looked_at(make_listed) -> None:
    texts = ["dog", "red dog", "cat", "a red dog on a blue sofa"]
    pairs = make_listed([(text,) for text in texts])
    task = order(Told(pairs, texts, texts, clusters=(7, 7, 8, 9)))
    assert task is not None
    assert [task.pairs.key(i) for i in range(len(task.pairs))] == ["k1", "k3"]
    assert task.clusters == (7, 9)
    assert set(task.rows) == {0, 1}


def test_another_caption_of_the_picture_is_no_false_one(make_listed) -> None:
    pairs = make_listed([("a cat and a dog", "A Dog and a Cat")])
    task = order(told_by_captions(pairs))
    assert task is not None
    assert task.left_out["nouns_adjectives"] == 1
    assert all("a dog and a cat" not in answers for answers in task.texts)


def test_without_an_item_there_is_no_task(make_listed) -> None:
    assert order(told_by_captions(make_listed([("dog",), ("cat",)]))) is None
