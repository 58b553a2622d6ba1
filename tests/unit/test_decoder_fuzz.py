"""A hundred thousand mutated inputs and more for the decoders of what comes from outside; see tests/fuzzing."""

from __future__ import annotations

import random
import resource
import time

import pytest

from tests.fuzzing.mutation import mutate
from tests.fuzzing.targets import TARGETS

INPUTS = {"envelopes": 100_000, "headers": 100_000, "blocks": 20_000, "records": 20_000}
REACHED = {"envelopes": {"malformed", "version", "bad-signature", "unknown-sender", "wrong-chain"}}
MAX_S = 5.0  # for one input of a few kilobytes: a hang, and not a slow machine
MAX_GROWTH_KB = 200_000


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_inputs_are_read_or_refused_at_once_and_in_little_memory(name: str) -> None:
    target, rng = TARGETS[name](), random.Random(20_260_101)
    for data in target.corpus:
        target.check(data)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    slowest_s, outcomes = 0.0, set()
    for _ in range(INPUTS[name]):
        data = mutate(rng.choice(target.corpus), target.corpus, rng)
        begun_s = time.thread_time()
        outcomes.add(target.check(data))
        slowest_s = max(slowest_s, time.thread_time() - begun_s)
    assert outcomes >= REACHED.get(name, {"read", "refused"}), "inputs that reach deep enough"
    assert slowest_s < MAX_S
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < MAX_GROWTH_KB
