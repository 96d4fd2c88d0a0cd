"""The measures of the project, on a small manifest by hand."""

import sys

from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import measure_project


def manifest(*models):
    """Models as (path, lines, names read)."""
    names = [path.rpartition("/")[2].partition(".")[0] for path, _, _ in models]
    nodes = {
        name: {
            "unique_id": name,
            "name": name,
            "resource_type": "model",
            "language": path.rpartition(".")[2].replace("py", "python"),
            "original_file_path": path,
            "raw_code": "x\n" * size,
            "depends_on": {"nodes": read},
        }
        for name, (path, size, read) in zip(names, models, strict=True)
    }
    return {"nodes": nodes}


def test_ways_circles_and_sizes_are_measured():
    found = measure_project.measure(
        manifest(
            ("models/staging/a.sql", 3, ["source"]),
            ("models/intermediate/fits/b.sql", 5, ["a", "c"]),
            ("python_models/fits/c.py", 900, ["a"]),
            ("models/intermediate/serving/d.sql", 201, ["b"]),
            ("models/marts/clv/customer_lifetime_value.sql", 7, ["d"]),
            # Reads a mart, and is read by the room above it.
            ("models/intermediate/monitoring/e.sql", 1, ["customer_lifetime_value"]),
            ("models/intermediate/serving/f.sql", 1, ["e"]),
        )
    )
    assert list(found.values()) == [
        *(7, 5, 1, "3 of 5"),
        "218, median 4, largest 201, 1 above 200",
    ]
