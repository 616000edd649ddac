"""Prompts from files, as people have them: tables (CSV, Excel), JSON lines, JSON, text with a prompt a line.

======= ===========================================================
upload  the prompts of a file, and where in it each stood
files   which kind a file is, and in which encoding
cells   a row of a table as a prompt
excel   the first sheet of an .xlsx as rows, within bounds
======= ===========================================================

Read as a stream, refused at the first error, which names line and column. A file with too many prompts is refused at
the first one too many; ARGUS_MAX_UPLOAD_MB limits its size before that.
"""

from app.uploads.files import read_upload
from app.uploads.upload import Upload

__all__ = ["Upload", "read_upload"]
