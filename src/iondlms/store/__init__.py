"""What outlives a power cut: recorder rows, events and state, in SQLite; and the ways in and out."""

from __future__ import annotations

from .archive import Archive, KeptRows, backup, meters_in
from .database import Store
from .files import FILE_FORMS, FileForm, form_of, headings, read_rows, write_parquet, write_text
from .fleet import FleetStore, Place
from .fleet_log import FleetLog, Reads
from .history import Imported, import_rows
from .schema import StoreError

__all__ = [
    "FILE_FORMS",
    "Archive",
    "FileForm",
    "FleetLog",
    "FleetStore",
    "Imported",
    "KeptRows",
    "Place",
    "Reads",
    "Store",
    "StoreError",
    "backup",
    "form_of",
    "headings",
    "import_rows",
    "meters_in",
    "read_rows",
    "write_parquet",
    "write_text",
]
