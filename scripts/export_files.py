"""Files for any tool that reads a folder, and lists for Customer Match of Google Ads.

A run writes into a folder that is hidden until all of it is there, manifest included. A
kill leaves nothing that looks whole, and the next run clears it away. What readers did
with a file is not known here: a row has arrived when its folder can be seen.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
from export_transports import (
    COLUMNS,
    GONE,
    KEY,
    ConfigError,
    Outcome,
    Transport,
    latest,
    secret,
)
from pyarrow import compute, csv, parquet

KINDS = {"Text": pyarrow.string(), "Number": pyarrow.int64()}
KINDS["Boolean"] = pyarrow.bool_()
WRITERS = {"csv": csv.CSVWriter, "parquet": parquet.ParquetWriter}


class Files(Transport):
    """A folder for each run, with a file of all columns."""

    max_rows, max_bytes = 5_000, 20_000_000  # at once, to save memory
    is_keyed, is_read_back = True, False
    schema = pyarrow.schema([(column.name, KINDS[column.kind]) for column in COLUMNS])

    def __init__(self, settings: Any, key_length: int = KEY.length):
        super().__init__(settings, key_length)
        self.folder = Path(secret("CLV_EXPORT_FOLDER"), settings.target)
        self.format = os.environ.get("CLV_EXPORT_FORMAT", "csv")
        if self.format not in WRITERS:
            raise ConfigError(f"CLV_EXPORT_FORMAT is {' or '.join(WRITERS)}")
        self.draft: Path | None = None
        self.writers: dict[str, Any] = {}
        self.counts: Counter[str] = Counter()

    def login(self) -> None:
        """Make the folder."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            text = f"CLV_EXPORT_FOLDER cannot be written: {type(error).__name__}"
            raise ConfigError(text) from None

    def check(self, create: bool = False) -> list[str]:
        return []  # every run brings its own columns

    def held(self) -> tuple[None, int]:
        """Return that nobody knows what readers hold, and the latest run here."""
        names = (path.name for path in self.folder.glob("run-*"))
        return None, latest(name.removeprefix("run-") for name in names)

    @staticmethod
    def encode(row: dict[str, Any]) -> bytes:
        return b""  # rows are encoded together

    def shape(self, rows: list[dict]) -> tuple[str, dict[str, list]]:
        """Return the name of the file that rows of one kind are in, and its columns."""
        return "rows", {c.name: [row[c.name] for row in rows] for c in COLUMNS}

    def send(self, rows: list[dict], note: Callable[[str], None]) -> list[Outcome]:
        """Add rows to a file of this run."""
        self.beat()
        if not self.draft:
            for left in self.folder.glob(".run-*"):
                shutil.rmtree(left)
            self.draft = Path(tempfile.mkdtemp(prefix=".run-", dir=self.folder))
        name, columns = self.shape(rows)
        name += f".{self.format}"
        if name not in self.writers:
            path = str(self.draft / name)
            self.writers[name] = WRITERS[self.format](path, self.schema)
        self.writers[name].write_table(pyarrow.table(columns, schema=self.schema))
        self.counts[name] += len(rows)
        return [Outcome(True)] * len(rows)

    def finish(self, about: dict[str, Any]) -> None:
        """Show the files of this run, whole."""
        for writer in self.writers.values():
            writer.close()
        self.seal(self.draft, about, self.counts)
        self.beat()
        self.draft.chmod(0o750)
        self.draft.rename(self.folder / f"run-{about['run_number']:06d}")

    def seal(self, folder: Path, about: dict[str, Any], counts: Counter) -> None:
        """Write the manifest, which says what there is and how to see that it is so."""
        files = []
        for name, rows in sorted(counts.items()):
            with (folder / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                os.fsync(file)
            files.append({"name": name, "rows": rows, "sha256": digest})
        draft, columns = folder / ".manifest", self.schema.names
        text = json.dumps(about | {"columns": columns, "files": files}, indent=2)
        draft.write_text(text)
        draft.replace(folder / "manifest.json")

    def delete(self, keys: list[str]) -> list[str]:
        """Take keys out of files that are here still, and tell readers to."""
        for manifest in self.folder.glob("run-*/manifest.json"):
            about, counts = json.loads(manifest.read_text()), Counter()
            for told in about["files"]:
                path = manifest.with_name(told["name"])
                draft = path.with_name(".draft")
                kind = path.suffix.removeprefix(".")
                with WRITERS[kind](str(draft), self.schema) as writer:
                    for batch in self.read(path):
                        is_gone = compute.is_in(batch[0], pyarrow.array(keys))
                        left = batch.filter(compute.invert(is_gone))
                        writer.write_batch(left)
                        counts[path.name] += len(left)
                draft.replace(path)
            self.seal(manifest.parent, about, counts)
        blank = dict.fromkeys(self.schema.names) | GONE
        self.send([blank | {KEY.name: key} for key in keys], print)
        return []

    def read(self, path: Path) -> Any:
        """Return the batches of a file, one after the other."""
        if path.suffix == ".parquet":
            return parquet.ParquetFile(path).iter_batches()
        return csv.open_csv(
            path,
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(column_types=self.schema),
        )


class GoogleAds(Files):
    """Two lists by user id: whom to add, with their value, and whom to remove."""

    schema = pyarrow.schema([("User ID", pyarrow.string()), ("clv", pyarrow.string())])

    def shape(self, rows: list[dict]) -> tuple[str, dict[str, list]]:
        """Return the list that rows of one kind are in, and its columns."""
        # Of a band its lower end.
        values = [re.match(r"-?\d*", row["clv_365d"]).group() for row in rows]
        name = "add" if rows[0]["op"] == "upsert" else "remove"
        return name, {"User ID": [row[KEY.name] for row in rows], "clv": values}
