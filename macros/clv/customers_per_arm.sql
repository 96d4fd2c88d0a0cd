{#
    Customers that each of two equal arms needs to find, in 4 tests of 5 (two-sided 5 %), a lift of
    the mean by the share `lift`; rho_squared is what a covariate explains of the variance.
    customers_per_arm(3.0, 9.0, 0.05, 0) -> 6279.1
#}
{% macro customers_per_arm(mean, variance, lift, rho_squared=0) -%}
    2 * power(1.959964 + 0.841621, 2) * ({{ variance }}) * (1 - ({{ rho_squared }}))
    / power({{ lift }} * ({{ mean }}), 2)
{%- endmacro %}
