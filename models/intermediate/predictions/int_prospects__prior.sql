-- grain: one row per acquisition source, country and horizon
-- Means are shrunk towards the overall mean, (sum + k * overall mean) / (n + k); quantiles are those of
-- the group once it has k members, else those of all. A horizon over which no prospect has been observed
-- takes the actuals of the longest shorter one, a lower bound.
{%- set k = 100 %}
{%- set measures = {
    'probability_purchase': 'buyers',
    'expected_purchases': 'purchases',
    'expected_value': 'value_amount',
} %}
with horizons as (

    {{ horizon_rows() | indent(4) }}

),

outcomes as (

    select *
    from {{ ref('int_prospects__outcomes') }}

),

-- Quantiles come from histograms of value, so that no worker sorts every prospect.
histogram as (

    {% for group in ['acquisition_source, country', "'everyone', 'everyone'"] -%}
    select
        horizon_days,
        {%- set source, country = group.split(', ') %}
        {{ source }} as acquisition_source,
        {{ country }} as country,
        {{ 'true' if loop.last else 'false' }} as is_everyone,
        -- As in the purchase model, a negative value is zero.
        case when value_amount < 0 then 0 else value_amount end as value_amount,
        count(*) as prospects,
        sum(case when purchases > 0 then 1 else 0 end) as buyers,
        sum(purchases) as purchases
    from outcomes
    group by 1, 2, 3, 4, 5
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

),

cumulated as (

    select
        *,
        sum(prospects) over (
            partition by horizon_days, acquisition_source, country, is_everyone
            order by value_amount
            rows between unbounded preceding and current row
        ) as prospects_up_to,
        sum(prospects) over (
            partition by horizon_days, acquisition_source, country, is_everyone
        ) as prospects_in_all
    from histogram

),

summed as (

    select
        horizon_days,
        acquisition_source,
        country,
        is_everyone,
        {%- for percent in [10, 50, 90] %}
        cast(
            min(
                case
                    when 100 * prospects_up_to >= {{ percent }} * prospects_in_all
                        then value_amount
                end
            ) as {{ type_double() }}
        ) as value_p{{ percent }},
        {%- endfor %}
        cast(sum(prospects * value_amount) as {{ type_double() }}) as value_amount,
        cast(sum(purchases) as {{ type_double() }}) as purchases,
        cast(sum(buyers) as {{ type_double() }}) as buyers,
        cast(sum(prospects) as {{ type_double() }}) as prospects
    from cumulated
    group by 1, 2, 3, 4

),

learned as (

    select
        horizons.horizon_days,
        max(summed.horizon_days) as learned_horizon_days
    from horizons
    inner join summed
        on
            summed.is_everyone
            and horizons.horizon_days >= summed.horizon_days
    group by 1

),

-- A group of today's prospects without any back then gets the overall means.
wanted as (

    select distinct
        coalesce(acquisition_source, 'unknown') as acquisition_source,
        coalesce(country, first_country, 'unknown') as country
    from {{ ref('int_customers__profiled') }}

)

select
    wanted.acquisition_source,
    wanted.country,
    learned.horizon_days,
    learned.learned_horizon_days,
    {%- for measure, total in measures.items() %}
    (
        coalesce(members.{{ total }}, 0)
        + {{ k }} * everyone.{{ total }} / everyone.prospects
    ) / (coalesce(members.prospects, 0) + {{ k }}) as {{ measure }},
    {%- endfor %}
    {%- for percent in [10, 50, 90] %}
    case
        when members.prospects >= {{ k }} then members.value_p{{ percent }}
        else everyone.value_p{{ percent }}
    end as value_p{{ percent }},
    {%- endfor %}
    cast(coalesce(members.prospects, 0) as {{ type_integer() }}) as prospects
from wanted
inner join summed as everyone
    on everyone.is_everyone
inner join learned
    on everyone.horizon_days = learned.learned_horizon_days
left join summed as members
    on
        not members.is_everyone
        and wanted.acquisition_source = members.acquisition_source
        and wanted.country = members.country
        and learned.learned_horizon_days = members.horizon_days
