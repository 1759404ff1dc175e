"""`tokenizer.json` makes our ids, whatever the teacher's own was last used with."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from tinyclip.formats.onnx.write_tokenizer import write_tokenizer_json
from tinyclip.shapes import ClipShape
from tinyclip.tokenizers.huggingface import HfTokenizer

CAPTIONS = ["a cat", "", "two cats " * 20, "a cat a cat a cat"]


def test_how_the_teachers_tokenizer_was_last_called_does_not_travel(
    used_tokenizer: HfTokenizer, siglip_shape: ClipShape, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    text = siglip_shape.text
    assert write_tokenizer_json(used_tokenizer, text, CAPTIONS, out) == len(CAPTIONS)
    theirs = Tokenizer.from_file(str(out / "tokenizer.json"))
    ids = [one.ids for one in theirs.encode_batch(CAPTIONS)]
    assert ids == used_tokenizer(CAPTIONS).tolist()
