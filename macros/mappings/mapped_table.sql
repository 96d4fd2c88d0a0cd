{# The relation of a table of a shop system, in `place`: its database and schema. #}
{% macro mapped_table(place, name) -%}
    {{ api.Relation.create(database=place.database, schema=place.schema, identifier=name) }}
{%- endmacro %}
