-- Var clv_fail_on says which alerts fail the build: page, ticket (pages too) or never. It runs last,
-- on marts that are already built, which are not rolled back.
{{ config(enabled=var('clv_fail_on') != 'never') }}
select
    rule,
    severity,
    subject,
    measured,
    runbook
from {{ ref('alerts') }}
where
    muted_because is null
    {%- if var('clv_fail_on') == 'page' %}
    and severity = 'page'
    {%- endif %}
