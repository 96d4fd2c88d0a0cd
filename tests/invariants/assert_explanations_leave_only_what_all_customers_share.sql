-- What no family explains is a factor that all customers have alike: nothing of a score is lost.
select
    min(multiplier) as lowest,
    max(multiplier) as highest
from {{ ref('clv_explanations') }}
where family = 'everyone'
having max(multiplier) > (1 + 1e-9) * min(multiplier)
