-- grain: one row per campaign and user assigned to one of its arms
{%- set found = found_columns('campaign_assignments') %}
select
    {{ input_column('campaign_assignments', 'campaign_id', type_text(), found) }}
        as campaign_id,
    {{ input_column('campaign_assignments', 'user_id', type_text(), found) }}
        as user_id,
    {{ input_column('campaign_assignments', 'arm', type_text(), found) }} as arm,
    {{ input_column('campaign_assignments', 'cost', type_money(), found) }}
        as cost_amount,
    {{ input_column('campaign_assignments', 'assigned_at', type_instant(), found) }}
        as assigned_at,
    {{ input_column('campaign_assignments', 'redeemed_at', type_instant(), found) }}
        as redeemed_at
from {{ input_table('campaign_assignments', found) }}
