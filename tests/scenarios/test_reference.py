"""Every public callable says what it raises, and of what shape its arrays are."""

from __future__ import annotations

from fuzz_reference import EXEMPT, called, documented_errors, lacks_shapes


def test_errors_are_documented():
    silent = {entry.name for entry in called() if not documented_errors(entry.function)}
    assert silent == set(EXEMPT)


def test_shapes_are_documented():
    assert [entry.name for entry in called() if lacks_shapes(entry.function)] == []
