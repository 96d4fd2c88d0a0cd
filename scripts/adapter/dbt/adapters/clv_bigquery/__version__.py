"""The version that dbt tells: that of the project."""

version = "0.1.0"
