"""What the figures are computed from."""

import pandas as pd
import pytest

from tune_kmixup.analysis.report.figures import pool_bins


def test_reliability_bins_of_several_runs_are_pooled_by_their_rows() -> None:
    separate = pool_bins(pd.Series(["10:0.6000:0.5000 30:0.9500:1.0000", "30:0.6100:0.7000"]))
    assert list(separate["rows"]) == [10, 30, 30], "0.6000 is the upper end of its bin"
    (pooled,) = pool_bins(pd.Series(["10:0.6100:0.5000", "30:0.6500:0.7000"])).to_dict("records")
    assert pooled["rows"] == 40 and pooled["accuracy"] == pytest.approx((5 + 21) / 40)
