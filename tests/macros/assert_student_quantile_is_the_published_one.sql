-- 0.975 and 0.9 quantiles of Student's t by degrees of freedom, from published tables, within 1 %, and
-- from 10 on within 0.01 %; and what a test needs: 2 (1.960 + 0.842)^2 / 0.05^2 customers per arm find
-- 5 % where the standard deviation is the mean; and a range learned from errors, a factor of 10 at most.
with cases as (

    {% for outside, degrees, quantile, tolerance in [
        ('0.05', 3, 3.182446, 0.01), ('0.05', 5, 2.570582, 0.002),
        ('0.05', 10, 2.228139, 0.0001), ('0.05', 30, 2.042272, 0.0001),
        ('0.05', 100, 1.983972, 0.0001), ('0.05', 100000, 1.959988, 0.0001),
        ('0.20', 3, 1.637744, 0.01), ('0.20', 5, 1.475884, 0.002),
        ('0.20', 10, 1.372184, 0.0001), ('0.20', 30, 1.310415, 0.0001),
        ('0.20', 100, 1.290075, 0.0001), ('0.20', 100000, 1.281560, 0.0001),
    ] -%}
    select
        'student_quantile, {{ outside }} outside, {{ degrees }} degrees' as macro_case,
        {{ student_quantile(outside, degrees) }} as actual,
        {{ quantile }} as expected,
        {{ tolerance }} as tolerance

    union all

    {% endfor -%}
    {%- for name, mean, variance, rho_squared, customers in [
        ('a standard deviation of the mean', 3.0, 9.0, 0.0, 6279.1),
        ('half of it explained', 3.0, 9.0, 0.5, 3139.55),
    ] -%}
    select
        'customers_per_arm, {{ name }}' as macro_case,
        {{ customers_per_arm(mean, variance, 0.05, rho_squared) }} as actual,
        {{ customers }} as expected,
        0.0001 as tolerance

    union all

    {% endfor -%}
    {%- for squared_error, reach in {'1.0': 0.2563103, '1e12': 2.302585}.items() -%}
    select
        'learned_reach, {{ squared_error }}' as macro_case,
        {{ learned_reach('4.0', '10.0', 'ended', 1) | indent(8) }} as actual,
        {{ reach }} as expected,
        0.0001 as tolerance
    from (select 1 as windows, {{ squared_error }} as squared_error) as ended
    {{- '\n\n    union all\n\n    ' if not loop.last }}
    {%- endfor %}

)

select *
from cases
where not coalesce(abs(actual / expected - 1) <= tolerance, false)
