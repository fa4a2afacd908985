"""Files are written whole, and where they lead.

python -m pytest tests/system/test_files.py
"""

from utils.system.files import read_json, write_json


def test_a_link_survives_and_its_file_is_written(tmp_path):
    (tmp_path / "there.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "there.json")
    write_json([], tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink() and read_json(tmp_path / "there.json") == []
