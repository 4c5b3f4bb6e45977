"""The process beside the loop: what the garbage collector looks at."""

from __future__ import annotations

import gc
import weakref

from iondlms.ports.loop import settle


class Ring:
    def __init__(self) -> None:
        self.itself = self


def test_what_there_is_when_it_settles_is_looked_at_no_more_until_it_settles_again() -> None:
    gone, kept = Ring(), Ring()
    dead, alive = weakref.ref(gone), weakref.ref(kept)
    del gone
    try:
        settle()
        assert dead() is None
        assert gc.get_freeze_count() > 1000
        del kept
        gc.collect()
        assert alive() is not None
        settle()
        assert alive() is None
    finally:
        gc.unfreeze()
