"""An archive from outside is believed in nothing, and read without filling the memory."""

from __future__ import annotations

import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.collect.exports import builders
from twin_core.collect import archive, formats
from twin_core.errors import InvalidInput, Refused
from twin_core.settings import Settings

MakeSettings = Callable[..., Settings]


def a_zip(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, body in members.items():
            file.writestr(name, body)
    return path


def raw_named(path: Path, name: str) -> Path:
    """A zip whose member has this very name, which zipfile would put right while writing."""
    placeholder = "x" * len(name.encode())
    a_zip(path, **{placeholder: b"text"})
    path.write_bytes(path.read_bytes().replace(placeholder.encode(), name.encode()))
    return path


def look(path: Path, settings: Settings) -> list[str]:
    with archive.opened(path, settings) as there:
        return [name for one in there for name in one.names]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("../out.csv", "leads out"),
        ("a/../../out.csv", "leads out"),
        ("..\\out.csv", "leads out"),
        ("/etc/cron.csv", "absolute"),
        ("C:\\out.csv", "absolute"),
    ],
)
def test_names_that_lead_out_of_the_archive_are_refused(
    tmp_path: Path, make_settings: MakeSettings, name: str, said: str
) -> None:
    with pytest.raises(Refused, match=said):
        look(raw_named(tmp_path / "bad.zip", name), make_settings())


def test_a_symbolic_link_in_a_zip_is_refused(tmp_path: Path, make_settings: MakeSettings) -> None:
    info = zipfile.ZipInfo("Shares.csv")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as file:
        file.writestr(info, "/etc/passwd")
    with pytest.raises(Refused, match="symbolic link"):
        look(tmp_path / "link.zip", make_settings())


def test_an_encrypted_zip_is_refused_with_what_to_do(tmp_path: Path, make_settings: MakeSettings) -> None:
    path = a_zip(tmp_path / "locked.zip", **{"Shares.csv": b"text"})
    body = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = body.index(mark) + offset
        body[at : at + 2] = struct.pack("<H", 1)
    path.write_bytes(body)
    with pytest.raises(Refused, match="Unpack it with its password"):
        look(path, make_settings())


def test_a_zip_bomb_is_refused_before_it_is_read(tmp_path: Path, make_settings: MakeSettings) -> None:
    a_zip(tmp_path / "bomb.zip", **{"Shares.csv": bytes(60_000_000)})
    with pytest.raises(Refused, match="zip bomb"):
        look(tmp_path / "bomb.zip", make_settings())
    # Many members, none of which is a bomb by itself.
    a_zip(tmp_path / "many.zip", **{f"{number}.csv": bytes(20_000_000) for number in range(3)})
    with pytest.raises(Refused, match="zip bomb"):
        look(tmp_path / "many.zip", make_settings())


def test_more_than_the_setting_allows_is_refused(tmp_path: Path, make_settings: MakeSettings) -> None:
    a_zip(tmp_path / "large.zip", **{"Shares.csv": os.urandom(5000)})
    with pytest.raises(Refused, match="TWIN_IMPORT_MAX_BYTES"):
        look(tmp_path / "large.zip", make_settings(import_max_bytes=4000))


def test_a_member_is_never_read_beyond_the_size_it_states(tmp_path: Path, make_settings: MakeSettings) -> None:
    path = a_zip(tmp_path / "liar.zip", **{"Shares.csv": b"a" * 5000})
    body = path.read_bytes()
    path.write_bytes(body.replace(struct.pack("<I", 5000), struct.pack("<I", 10)))
    with archive.opened(path, make_settings()) as (one,), pytest.raises(InvalidInput, match="damaged there"):
        one.read("Shares.csv")


def test_zips_in_zips_are_read_and_too_many_of_them_refused(tmp_path: Path, make_settings: MakeSettings) -> None:
    a_zip(tmp_path / "1.zip", **{"Shares.csv": b"text"})
    for depth in (1, 2, 3):
        a_zip(tmp_path / f"{depth + 1}.zip", **{f"{depth}.zip": (tmp_path / f"{depth}.zip").read_bytes()})
    with archive.opened(tmp_path / "3.zip", make_settings()) as there:
        assert [one.at for one in there] == ["", "2.zip", "2.zip/1.zip"]
        assert there[-1].read("Shares.csv") == b"text"
    with pytest.raises(Refused, match="more than 3 deep"):
        look(tmp_path / "4.zip", make_settings())


def test_a_hostile_zip_inside_a_good_one_is_refused(tmp_path: Path, make_settings: MakeSettings) -> None:
    inner = raw_named(tmp_path / "inner.zip", "../out.csv")
    a_zip(tmp_path / "outer.zip", **{"inner.zip": inner.read_bytes()})
    with pytest.raises(Refused, match="leads out"):
        look(tmp_path / "outer.zip", make_settings())


def test_two_members_of_one_name_are_refused(tmp_path: Path, make_settings: MakeSettings) -> None:
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as file:
        file.writestr("Shares.csv", "one")
        with pytest.warns(UserWarning, match="Duplicate"):
            file.writestr("Shares.csv", "two")
    with pytest.raises(Refused, match="two members"):
        look(tmp_path / "two.zip", make_settings())


def test_links_in_a_folder_are_not_followed(tmp_path: Path, make_settings: MakeSettings) -> None:
    (tmp_path / "secret.csv").write_text("secret")
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "Shares.csv").write_text("text")
    (folder / "Comments.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "Articles").symlink_to(tmp_path)
    assert look(folder, make_settings()) == ["Shares.csv"]


def test_what_is_missing_or_broken_is_told(tmp_path: Path, make_settings: MakeSettings) -> None:
    with pytest.raises(InvalidInput, match="There is no"):
        look(tmp_path / "nothing.zip", make_settings())
    path = a_zip(tmp_path / "cut.zip", **{"Shares.csv": os.urandom(5000)})
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InvalidInput, match="nothing that is understood"):
        formats.recognise(path, {}, make_settings())


def test_names_that_are_utf8_without_saying_so_are_read(tmp_path: Path, make_settings: MakeSettings) -> None:
    path = raw_named(tmp_path / "names.zip", "Züge.html")
    assert look(path, make_settings()) == ["Züge.html"]


def test_what_systems_leave_behind_is_no_member(tmp_path: Path, make_settings: MakeSettings) -> None:
    a_zip(tmp_path / "mac.zip", **{"Shares.csv": b"x", "__MACOSX/._Shares.csv": b"x", "data/.DS_Store": b"x"})
    assert look(tmp_path / "mac.zip", make_settings()) == ["Shares.csv"]


def test_a_piece_larger_than_the_limit_is_not_read_whole(tmp_path: Path, make_settings: MakeSettings) -> None:
    a_zip(tmp_path / "large.zip", **{"a.html": os.urandom(5000)})
    with (
        archive.opened(tmp_path / "large.zip", make_settings(import_max_member_bytes=4000)) as (one,),
        pytest.raises(InvalidInput, match="TWIN_IMPORT_MAX_MEMBER_BYTES"),
    ):
        one.read("a.html")


def test_stamp_and_fingerprint_change_with_the_content_and_only_the_stamp_with_the_time(tmp_path: Path) -> None:
    folder = builders.substack(tmp_path / "s")
    stamp, print_ = archive.stamp(folder), archive.fingerprint(folder)
    assert (archive.stamp(folder), archive.fingerprint(folder)) == (stamp, print_)
    os.utime(folder / "posts.csv", (1, 1))
    assert archive.stamp(folder) != stamp
    assert archive.fingerprint(folder) == print_
    (folder / "posts.csv").write_text("post_id,post_date\n")
    assert archive.fingerprint(folder) != print_
