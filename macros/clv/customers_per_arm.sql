{#
    Customers that each of two equal arms needs to detect a relative lift of the mean by `lift` with
    80 % power (two-sided 5 %); rho_squared is the share of variance that a covariate explains.
    customers_per_arm(3.0, 9.0, 0.05, 0) -> 6279.1
#}
{% macro customers_per_arm(mean, variance, lift, rho_squared=0) -%}
    2 * power(1.959964 + 0.841621, 2) * ({{ variance }}) * (1 - ({{ rho_squared }}))
    / power({{ lift }} * ({{ mean }}), 2)
{%- endmacro %}
