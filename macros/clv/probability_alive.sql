{#
    P(alive) at the cutoff = 1 / (1 + odds that they have left), by column purchase_model, for
    x = frequency, t_x = recency_time, T = age_time and the parameters r, alpha, a, b, s, beta, k.
    Time is in days; for a model version with a season, in those of int_season.

    bgnbd      a / (b + x - 1) ((alpha + T) / (alpha + t_x)) ^ (r + x),  0 when x = 0
               (Fader, Hardie & Lee 2005; 2008, technical note 021)
    mbgnbd     a / (b + x) ((alpha + T) / (alpha + t_x)) ^ (r + x)
               (Batislam, Denizel & Filiztekin 2007)
    paretonbd  s (alpha + T) ^ (r + x) (beta + T) ^ s times the integral over u from t_x to T of
               (alpha + u) ^ -(r + x) (beta + u) ^ -(s + 1)
               (Schmittlein, Morrison & Colombo 1987; Fader & Hardie, note 009)
    bgcnbd, mbgcnbd  as bgnbd and mbgnbd with k x for x in the exponent, over the sum of stage_chances
               (Reutterer, Platzer & Schroeder 2021)
    bgbb       of a monthly log: column alive_by_month, a sum of int_expectations__alive
               (Fader, Hardie & Shang 2010)

    Computed through logarithms: the powers overflow for frequent customers long gone.

    The integral is a Gauss-Legendre sum in v = ln(m + u), m = least(alpha, beta). The integrand is
    log-concave in v, whatever x is, and analytic for |Im v| < pi. Its interval, leaving_from and
    leaving_span, ends where (alpha + u) ^ -(r + x) has fallen by 24 e-folds. Error of P(alive) for
    x up to 500 and T up to 3,000 days: below 2e-10 (tests/python/test_probability_alive.py).

    Only `models` are compiled, because the integral of Pareto/NBD is by far the longest. It needs the columns
    leaving_from and leaving_span beside the others, models with stages need those of stage_chances.
    `frequency` is the column of x.
#}
{% macro probability_alive(frequency='frequency', models=purchase_models()) -%}
    case
        when purchase_model in ('bgnbd', 'bgcnbd') and {{ frequency }} = 0 then 1.0
        when purchase_model = 'bgnbd'
            then {{ staying('ln(a / (b + ' ~ frequency ~ ' - 1))', frequency) | indent(12) }}
        when purchase_model = 'mbgnbd'
            then {{ staying('ln(a / (b + ' ~ frequency ~ '))', frequency) | indent(12) }}
        {%- for model in staged_models() if model in models %}
        when purchase_model = '{{ model }}'
            then {{ staying(
                'ln(a / (b + ' ~ frequency ~ (' - 1' if model == 'bgcnbd' else '') ~ '))'
                ~ ' - ln(' ~ stage_chances_sum() ~ ')', 'k * ' ~ frequency
            ) | indent(12) }}
        {%- endfor %}
        {%- if 'bgbb' in models %}
        when purchase_model = 'bgbb' then alive_by_month
        {%- endif %}
        {%- if 'paretonbd' in models %}
        when purchase_model = 'paretonbd'
            then 1.0 / (
                1.0 + s * leaving_span
                * {% call(node, weight) sum_of(['node', 'weight'], legendre_nodes()) -%}
                    {%- set reached = 'leaving_from * exp(' ~ node ~ ' * leaving_span)' -%}
                    {%- set beyond = reached ~ ' - least(alpha, beta)' -%}
                    {{ weight }} * {{ reached }}
                    / (beta + {{ beyond }}) * exp(
                        least(
                            600.0,
                            (r + {{ frequency }}) * ln((alpha + age_time) / (alpha + {{ beyond }}))
                            + s * ln((beta + age_time) / (beta + {{ beyond }}))
                        )
                    )
                {%- endcall %}
            )
        {%- endif %}
    end
{%- endmacro %}

{# Every purchase model; bgbb is that of a monthly log. #}
{% macro purchase_models() %}
    {%- do return(
        ['bgnbd', 'mbgnbd', 'paretonbd'] + staged_models() + (['bgbb'] if is_monthly() else [])
    ) -%}
{% endmacro %}

{# Purchase models of regular buyers, whose gaps have stages. #}
{% macro staged_models() %}
    {%- do return(['bgcnbd', 'mbgcnbd']) -%}
{% endmacro %}

{# Purchase models that this run may fit; auto can become any but paretonbd, of a monthly log bgbb. #}
{% macro fitted_models() %}
    {%- set spec = var('clv_purchase_model') -%}
    {%- set named = spec.values() | list if spec is mapping else [spec] -%}
    {%- set fitted = named + shaped('clv_challenger_models') -%}
    {%- if 'auto' in fitted -%}
        {%- set fitted = fitted | reject('equalto', 'auto') | list -%}
        {%- do fitted.extend(['bgbb'] if is_monthly() else ['bgnbd', 'mbgnbd'] + staged_models()) -%}
    {%- endif -%}
    {%- do return(fitted) -%}
{% endmacro %}

{#
    Purchase models of the versions that are scored, as int_parameters has them, and those that the variables
    name. All of them where the warehouse cannot be queried, or has no versions yet.
#}
{% macro scored_models() %}
    {%- if not execute or flags.WHICH not in ['build', 'run', 'test'] -%}
        {%- do return(purchase_models()) -%}
    {%- endif -%}
    {%- set parameters = api.Relation.create(
        database=target.database, schema=target.schema ~ '_intermediate',
        identifier='int_parameters'
    ) -%}
    {%- if not columns_there(parameters) -%}
        {%- do return(purchase_models()) -%}
    {%- endif -%}
    {%- set spec = var('clv_purchase_model') -%}
    {%- set named = spec.values() | list if spec is mapping else [spec] -%}
    {%- set models = [] if 'auto' in named else fitted_models() -%}
    {%- for row in run_query('select distinct purchase_model from ' ~ parameters) -%}
        {%- do models.append(row[0]) -%}
    {%- endfor -%}
    {%- do return(models) -%}
{% endmacro %}

{#
    Columns stage_1, stage_2, stage_3: the probability that so many of the k stages of a gap have passed
    since the last purchase, relative to that of none, given alive. With y = (T - t_x) / (alpha + T),
    (r + k x) y, (r + k x) (r + k x + 1) / 2 y^2 ...; 0 from stage k on.
#}
{% macro stage_chances(frequency='frequency') -%}
    {%- for stage in range(1, 4) -%}
case
    when k > {{ stage }}
        then
            {%- for passed in range(stage) %}
            {{ '* ' if not loop.first }}(r + k * {{ frequency }} + {{ passed }}) / {{ passed + 1 }}.0
            * (age_time - recency_time) / (alpha + age_time)
            {%- endfor %}
    else 0.0
end as stage_{{ stage }}{{ ',\n' if not loop.last }}
    {%- endfor -%}
{%- endmacro %}

{# The sum over all stages, none included. #}
{% macro stage_chances_sum() -%}
    1.0 + stage_1 + stage_2 + stage_3
{%- endmacro %}

{#
    The product of columns of the expectation table, on average over the stages that a customer may be in. Stages
    from 1 on are rows of their own, tabulated_1 ... tabulated_3, where `has_stages`. `horizon` is in days, or
    the name of one.
#}
{% macro over_stages(columns, horizon, has_stages) -%}
    {%- set suffix = '_' ~ horizon ~ ('d' if horizon is number else '') -%}
    {%- set first = 'tabulated.' ~ columns | join(suffix ~ ' * tabulated.') ~ suffix -%}
    {%- if has_stages -%}
(
    {{ first }}
    {%- for stage in range(1, 4) %}
    {%- set relation = 'tabulated_' ~ stage ~ '.' %}
    + alive.stage_{{ stage }}
    * coalesce({{ relation }}{{ columns | join(suffix ~ ' * ' ~ relation) }}{{ suffix }}, 0)
    {%- endfor %}
) / ({{ stage_chances_sum() }})
    {%- else -%}
{{ first }}
    {%- endif -%}
{%- endmacro %}

{# Joins to `alive` the rows of `tabulated` that over_stages reads. #}
{% macro joined_stages(has_stages) -%}
    {%- for stage in range(4 if has_stages else 1) %}
    {%- set place = 'tabulated_' ~ stage if stage else 'tabulated' %}
{{ 'left join tabulated as ' ~ place if stage else 'inner join tabulated' }}
    on
        alive.model_version = {{ place }}.model_version
        and alive.stratum = {{ place }}.stratum
        and alive.cutoff_date = {{ place }}.cutoff_date
        and alive.frequency = {{ place }}.frequency
        and alive.age_days = {{ place }}.age_days
        and {{ place }}.stage_quarters = {{ 4 * stage }}
    {%- endfor %}
{%- endmacro %}

{# 1 / (1 + odds) where they can only have left after their last purchase. #}
{% macro staying(log_chance, frequency) -%}
    1.0 / (
        1.0 + exp(
            least(
                700.0,
                {{ log_chance }}
                + (r + {{ frequency }})
                * ln((alpha + age_time) / (alpha + recency_time))
            )
        )
    )
{%- endmacro %}

{# Where the integral of Pareto/NBD begins: m + t_x. #}
{% macro leaving_from() -%}
    least(alpha, beta) + recency_time
{%- endmacro %}

{# How far it runs in the logarithm. #}
{% macro leaving_span(frequency='frequency') -%}
    ln(
        (
            least(alpha, beta) + least(
                age_time,
                (alpha + recency_time) * exp(least(600.0, 24.0 / (r + {{ frequency }}))) - alpha
            )
        ) / (least(alpha, beta) + recency_time)
    )
{%- endmacro %}

{# Gauss-Legendre on [0, 1], 20 nodes: (node, weight). #}
{% macro legendre_nodes() %}
    {%- do return([
        (0.003435700407452502, 0.008807003569575447),
        (0.018014036361043095, 0.020300714900193223),
        (0.04388278587433703, 0.031336024167054395),
        (0.08044151408889061, 0.04163837078835236),
        (0.1268340467699246, 0.05096505990862035),
        (0.1819731596367425, 0.0590972659807593),
        (0.24456649902458644, 0.06584431922458844),
        (0.3131469556422902, 0.0710480546591912),
        (0.38610707442917747, 0.07458649323630212),
        (0.46173673943325133, 0.07637669356536314),
        (0.5382632605667487, 0.07637669356536314),
        (0.6138929255708225, 0.07458649323630212),
        (0.6868530443577098, 0.0710480546591912),
        (0.7554335009754136, 0.06584431922458844),
        (0.8180268403632576, 0.0590972659807593),
        (0.8731659532300754, 0.05096505990862035),
        (0.9195584859111094, 0.04163837078835236),
        (0.956117214125663, 0.031336024167054395),
        (0.981985963638957, 0.020300714900193223),
        (0.9965642995925474, 0.008807003569575447),
    ]) -%}
{% endmacro %}

{# What BG/BB has in its own way: by months of int_expectations__alive, else as the models of days. #}
{% macro by_month(of_months, of_days, has_months=true) -%}
    {%- if has_months -%}
case
    when purchase_model = 'bgbb' then {{ of_months }}
    else {{ of_days }}
end
    {%- else -%}
{{ of_days }}
    {%- endif -%}
{%- endmacro %}
