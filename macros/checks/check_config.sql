{# Stops the run with one sentence when a variable has a value that nothing can be built with. #}
{% macro check_config() %}
    {%- if execute -%}
        {%- set choices = {
            'clv_value': ['margin', 'revenue', 'none'],
            'clv_duplicates': ['order_lines', 'rows', 'none'],
            'clv_customer_grain': ['customer', 'account'],
            'clv_fit_engine': ['own', 'lifetimes'],
            'clv_export_value': ['band', 'value', 'none'],
            'clv_without_consent': ['by_input', 'excluded', 'shipped'],
            'clv_offer_cap_quantile': ['p10', 'p50'],
        } -%}
        {%- for name, allowed in choices.items() -%}
            {%- do require(
                var(name) in allowed, name, 'must be one of ' ~ allowed | join(', ')
            ) -%}
        {%- endfor -%}

        {#- name: (lowest, highest allowed value, an example) -#}
        {%- set ranges = {
            'clv_margin_rate': (0, 1, '0.35'),
            'clv_discount_rate': (0, 1, '0.10'),
            'clv_winsor_percentile': (0.995, 1, '0.999'),
            'clv_prior_strength': (0, 1000000, '100'),
            'clv_min_stratum_customers': (1, 100000000, '1000'),
            'clv_fit_max_customers': (1000, 100000000, '5000000'),
            'clv_min_history_days': (1, 3650, '84'),
            'clv_identity_hops': (1, 20, '6'),
            'clv_identity_max_users': (2, 100000, '10'),
            'clv_export_probability_step': (1, 100, '5'),
            'clv_offer_cap_share': (0, 1, '0.30'),
        } -%}
        {%- for name, (lowest, highest, example) in ranges.items() -%}
            {%- do require(
                var(name) is number and lowest <= var(name) <= highest,
                name,
                'must be a number from ' ~ lowest ~ ' to ' ~ highest ~ ', such as ' ~ example
            ) -%}
        {%- endfor -%}

        {%- set as_of = var('clv_as_of_date') -%}
        {%- do require(
            as_of is none or modules.re.fullmatch('\d{4}-\d{2}-\d{2}', as_of | string),
            'clv_as_of_date',
            'must be a date such as 2024-12-31, or null for the last loaded transaction date'
        ) -%}

        {%- set horizons = var('clv_horizons') -%}
        {%- do require(
            horizons is sequence and horizons is not string
            and horizons | select('integer') | list | length == horizons | length
            and horizons | select('gt', 0) | list | length == horizons | length
            and [30, 90, 180, 365] | reject('in', horizons) | list | length == 0,
            'clv_horizons',
            'must be a list of whole days that holds 30, 90, 180 and 365, the columns of the marts'
        ) -%}

        {%- set backtests = var('clv_backtest_days') -%}
        {%- do require(
            backtests is sequence and backtests is not string
            and backtests | select('integer') | list | length == backtests | length
            and backtests | select('gt', 0) | list | length == backtests | length,
            'clv_backtest_days',
            'must be a list of whole days before the as-of date, such as [91, 182, 273, 365]'
        ) -%}

        {%- set strata = var('clv_strata') -%}
        {%- set attributes = [
            'country', 'device', 'acquisition_source', 'first_channel', 'first_country'
        ] -%}
        {%- do require(
            strata is sequence and strata is not string
            and strata | reject('in', attributes) | list | length == 0,
            'clv_strata',
            'must be a list of ' ~ attributes | join(', ') ~ '; [] fits everyone together'
        ) -%}

        {%- do check_export_config() -%}
        {%- do require(
            var('clv_input_tables').get('transactions'),
            'clv_input_tables',
            'must name the table of transactions, the one input that is required'
        ) -%}
    {%- endif -%}
{% endmacro %}

{# The variables of the export that are lists, mappings or text. #}
{% macro check_export_config() %}
    {%- set bands = var('clv_export_bands') -%}
    {%- do require(
        bands is sequence and bands is not string and bands
        and bands | select('number') | list | length == bands | length
        and bands | sort == bands and bands[0] > 0 and bands | unique | list == bands,
        'clv_export_bands',
        'must be a list of rising numbers above 0, such as [10, 50, 100]'
    ) -%}
    {%- for name, example in {
        'clv_consent_channels': '[email]',
        'clv_suppressed_statuses': '[closed, deceased, fraud, erased]',
    }.items() -%}
        {%- set names = var(name) -%}
        {%- do require(
            names is sequence and names is not string and names
            and names | reject('string') | list | length == 0
            and not modules.re.search("['\\\\]", names | join),
            name,
            'must be a list of words, such as ' ~ example
        ) -%}
    {%- endfor -%}
    {%- set shares = campaign_shares() -%}
    {%- do require(
        shares
        and shares.values() | select('number') | select('ge', 0) | select('le', 1)
            | list | length == shares | length
        and shares.keys() | map('string') | reject('in', ['']) | list | length == shares | length
        and modules.re.fullmatch('[A-Za-z0-9_-]*', shares.keys() | join),
        'clv_holdout_share',
        'must be a number from 0 to 1, or one per campaign, such as {winback: 0.2, upsell: 0.1}, '
        ~ 'campaigns named with letters, digits, _ and -'
    ) -%}
    {%- set caps = var('clv_offer_caps') -%}
    {%- do require(
        caps is mapping and 'default' in caps
        and caps.values() | select('number') | select('ge', 0) | list | length == caps | length
        and not modules.re.search("['\\\\]", caps.keys() | join),
        'clv_offer_caps',
        'must be amounts by segment with a default, such as {default: 25, Champions: 50}'
    ) -%}
    {%- for name in ['clv_export_salt', 'clv_holdout_salt'] -%}
        {%- do require(
            modules.re.fullmatch('[A-Za-z0-9_.-]+', var(name) | string),
            name,
            'must be letters, digits, _, . and -'
        ) -%}
    {%- endfor -%}
{% endmacro %}

{# Raises one sentence that names the variable, what it must be and what it is. #}
{% macro require(is_met, name, rule) %}
    {%- if not is_met -%}
        {%- do exceptions.raise_compiler_error(
            "clv: var '" ~ name ~ "' " ~ rule ~ '; it is ' ~ (var(name) | tojson) ~ '.'
        ) -%}
    {%- endif -%}
{% endmacro %}
