from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from spectra.measuring import _read_ahead


def test_the_next_piece_is_read_while_one_is_worked_on() -> None:
    reading = [threading.Event() for _ in range(4)]

    def pieces() -> Iterator[Any]:
        for i in range(3):
            reading[i].set()
            yield (i,)
        reading[3].set()

    seen = []
    for piece in _read_ahead(pieces()):
        # Read by now, though it was not asked for yet.
        assert reading[piece[0] + 1].wait(timeout=10)
        seen.append(piece[0])
    assert seen == [0, 1, 2]


def test_an_error_while_reading_is_raised_where_its_piece_would_be() -> None:
    def pieces() -> Iterator[Any]:
        yield (0,)
        raise OSError("gone")

    ahead = _read_ahead(pieces())
    assert next(ahead) == (0,)
    with pytest.raises(OSError, match="gone"):
        next(ahead)
