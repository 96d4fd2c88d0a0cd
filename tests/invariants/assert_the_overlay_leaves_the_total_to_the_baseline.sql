-- Served or not, the overlay of all customers adds up to the baseline.
select
    sum(baseline_value) as baseline_total,
    sum(overlay_value) as overlay_total
from {{ ref('overlay_predictions') }}
having abs(sum(overlay_value) - sum(baseline_value)) > 1e-9 * sum(baseline_value)
