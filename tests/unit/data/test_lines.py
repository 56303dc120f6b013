import pytest

from ferlab.data.lines import without_blank_end


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\r\n\r\n", "\n   \n\t\n"])
def test_blank_lines_at_the_end_are_no_rows(end, tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes(b"a,b\n\n1,2" + end.encode())
    first = end[: end.find("\n") + 1]  # ends the last row
    assert without_blank_end(file).read() == b"a,b\n\n1,2" + first.encode()  # blank lines in the middle stay


def test_an_empty_file_is_empty(tmp_path):
    (tmp_path / "a.csv").touch()
    assert without_blank_end(tmp_path / "a.csv").read() == b""
