"""What is drawn in a configuration's place is a shape, or one kind of error."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinyclip.bounded import gunzip, json_value
from tinyclip.bounds import PARAMETERS, read_shape
from tinyclip.cost import sizes
from tinyclip.model.preprocess import Preprocess
from tinyclip.quoting import OBEYED, markdown, one_line
from tinyclip.shapes import ClipShape, shape_to_dict

PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**62, -1, 10**12, 0, 1])
    | st.floats()
    | st.text(max_size=5)
)
DRAWN = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
FAST = settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every key and index of values in each other."""
    inner = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    found = [at] if at else []
    for key, each in inner:
        found += places(each, (*at, key))
    return found


def with_value(value: Any, place: tuple[Any, ...], drawn: Any) -> Any:
    """The values with another one in a place."""
    whole = inner = copy.deepcopy(value)
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = drawn
    return whole


@FAST
@given(data=st.data())
def test_a_value_drawn_into_a_shape_is_in_bounds_or_a_value_error(
    pico_shape: ClipShape, data: st.DataObject
) -> None:
    whole = shape_to_dict(pico_shape)
    place = data.draw(st.sampled_from(places(whole)))
    try:
        shape = read_shape(with_value(whole, place, data.draw(DRAWN)))
    except ValueError as error:
        assert len(str(error)) < 2_000
    else:
        assert sizes(shape)["total"] <= PARAMETERS


@FAST
@given(data=st.data())
def test_a_value_drawn_into_a_preprocess_is_one_or_a_plain_error(
    data: st.DataObject,
) -> None:
    whole = Preprocess(16).to_dict()
    place = data.draw(st.sampled_from(places(whole)))
    try:
        made = Preprocess.from_dict(with_value(whole, place, data.draw(DRAWN)))
    except (KeyError, TypeError, ValueError):
        return
    assert min(made.std) > 0


@FAST
@given(st.binary(max_size=40))
def test_any_bytes_are_json_and_gzip_or_a_value_error(content: bytes) -> None:
    for read in (json_value, lambda content: gunzip(content, 1_000)):
        try:
            read(content)
        except ValueError:
            continue


@FAST
@given(st.text(max_size=40))
def test_any_text_is_one_line_that_begins_nothing_in_markdown(text: str) -> None:
    line = markdown(text)
    assert line == one_line(line)
    assert OBEYED.search(line) is None
    assert line[:1] not in set("#+-=*>|`~")
