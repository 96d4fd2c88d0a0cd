{# Stops the run with one sentence when a variable has a value that nothing can be built with. #}
{% macro check_config() %}
    {%- if execute -%}
        {%- set choices = {
            'clv_value': ['margin', 'revenue', 'none'],
            'clv_duplicates': ['order_lines', 'rows', 'none'],
            'clv_customer_grain': ['customer', 'account'],
            'clv_fit_engine': ['own', 'lifetimes'],
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
            'clv_calibration_max_customers': (1000, 100000000, '200000'),
            'clv_calibration_strength': (1, 1000000, '200'),
            'clv_calibration_prior_windows': (0.1, 100, '1'),
            'clv_shared_error': (0, 2, '0.12'),
            'clv_shared_error_windows': (2, 100, '3'),
            'clv_min_history_days': (1, 3650, '84'),
            'clv_identity_hops': (1, 20, '6'),
            'clv_identity_max_users': (2, 100000, '10'),
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

        {%- do require(
            var('clv_input_tables').get('transactions'),
            'clv_input_tables',
            'must name the table of transactions, the one input that is required'
        ) -%}
    {%- endif -%}
{% endmacro %}

{# Raises one sentence that names the variable, what it must be and what it is. #}
{% macro require(is_met, name, rule) %}
    {%- if not is_met -%}
        {%- do exceptions.raise_compiler_error(
            "clv: var '" ~ name ~ "' " ~ rule ~ '; it is ' ~ (var(name) | tojson) ~ '.'
        ) -%}
    {%- endif -%}
{% endmacro %}
