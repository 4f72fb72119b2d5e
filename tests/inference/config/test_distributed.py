"""Options of a fit by several processes."""

from __future__ import annotations

import pytest

import bayesnas as bn


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": "common"}, "noise must be 'independent' or 'shared', got 'common'"),
        ({"spread": "rows"}, "spread must be 'batch' or 'chains', got 'rows'"),
        ({"timeout": 0}, "timeout must be"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        bn.Distributed(**options)


@pytest.mark.parametrize("given", [True, "batch", None, 2])
def test_wrong_arguments(net, xy, given):
    with pytest.raises(TypeError, match=r"distributed must be 'auto', False or a bayesnas\.Distr"):
        bn.fit(net, xy, steps=1, distributed=given)


def test_one_process_takes_all_of_it(net, xy, numbers):
    plain = bn.fit(net, xy, steps=4, batch_size=10, seed=1)
    options = bn.Distributed(noise="shared", spread="chains")
    assert numbers(bn.fit(net, xy, steps=4, batch_size=10, seed=1, distributed=options)) == numbers(
        plain
    )
