"""Some values of variables at once, of the many that vary_variables.py tries."""

import pytest
from vary_variables import Shop


# With its tests, all models: any of them may read what varies.
@pytest.mark.slow
def test_other_values_than_the_defaults_fail_no_model_and_no_data_test(tmp_path):
    setting = {
        "clv_duplicates": "rows",
        "clv_time_zone": "America/New_York",
        "clv_value": "none",  # of a log that has amounts
        "clv_strata": [],
    }
    assert Shop(tmp_path).faults(setting) == []
