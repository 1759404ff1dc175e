"""What a user's mistake says."""

from __future__ import annotations

from tinyclip.errors import MOST, UserError


def test_what_a_stranger_wrote_does_not_fill_a_message() -> None:
    error = UserError("where" * 10_000, f"begins {'x' * 100_000} ends", "Restore it")
    assert error.what.startswith("begins")
    assert error.what.endswith("ends")
    assert len(str(error)) < 2 * MOST + 100


def test_a_message_of_usual_length_is_whole() -> None:
    what = "x" * MOST
    assert str(UserError("a", what, "Do b")) == f"a: {what}. Do b"
