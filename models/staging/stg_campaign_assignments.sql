-- grain: one row per campaign and user assigned to one of its arms
select
    {{ input_column('campaign_assignments', 'campaign_id', type_text()) }}
        as campaign_id,
    {{ input_column('campaign_assignments', 'user_id', type_text()) }} as user_id,
    {{ input_column('campaign_assignments', 'arm', type_text()) }} as arm,
    {{ input_column('campaign_assignments', 'cost', type_money()) }} as cost_amount,
    {{ input_column('campaign_assignments', 'assigned_at', type_instant()) }}
        as assigned_at,
    {{ input_column('campaign_assignments', 'redeemed_at', type_instant()) }}
        as redeemed_at
from {{ input_table('campaign_assignments') }}
