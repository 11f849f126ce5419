"""Names that nobody else has."""

from __future__ import annotations

import os
import random
import re

from gateway.identifiers import new_identifier


def test_no_two_are_the_same_whoever_seeds_the_random_module() -> None:
    found = []
    for _ in range(100):
        random.seed(0)
        found.append(new_identifier())
    assert len(set(found)) == len(found)
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in found)


def test_a_forked_process_makes_others_than_its_parent() -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, new_identifier().encode())
        os._exit(0)
    own = new_identifier()
    os.waitpid(child, 0)
    with os.fdopen(reading) as pipe:
        os.close(writing)
        assert pipe.read() != own
