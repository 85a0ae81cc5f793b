"""Importing large exports: size, items, seconds, items per second, peak memory, as a table.

    .venv/bin/python benchmarks/imports.py                       20 MB and 200 MB of LinkedIn, mail and X
    .venv/bin/python benchmarks/imports.py --mb 2000 linkedin    one size of one format
    .venv/bin/python benchmarks/imports.py --store --mb 20       the same into a Postgres of its own

Each export is made up word by word and read in a process of its own, as `twin import` reads it: recognised by content,
then every item once. `--mb` is the size of what is read, unpacked. Peak memory is the process's high-water mark of
resident memory (VmHWM where /proc has it, since ru_maxrss also counts what the parent held before the program began).
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

WORDS = ["".join(random.Random(f"{seed}").choices("aaeeiioubcdfghklmnprstvw", k=2 + seed % 9)) for seed in range(4000)]
FIRST = datetime(2015, 1, 1, tzinfo=UTC)


def prose(random_: random.Random, words: int) -> str:
    return " ".join(random_.choices(WORDS, k=words)).capitalize() + "."


def linkedin(target: Path, size: int) -> Path:
    """One zip with a table of shares, each of about 700 bytes."""
    random_ = random.Random("linkedin")

    def rows() -> Iterator[bytes]:
        yield "\ufeffDate,ShareLink,ShareCommentary,SharedUrl,MediaUrl,Visibility\r\n".encode()
        written, number = 0, 0
        while written < size:
            number += 1
            link = "https://www.linkedin.com/feed/update/" + quote(f"urn:li:share:{7 * 10**18 + number}", safe="")
            text = f'{prose(random_, 50)}""\n""{prose(random_, 40)}'
            row = f'{FIRST + timedelta(minutes=number):%Y-%m-%d %H:%M:%S},{link},"{text}",,,PUBLIC\r\n'.encode()
            written += len(row)
            yield row

    path = target / "linkedin.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("Profile.csv", "First Name,Last Name\nJane,Doe\n")
        with file.open("Shares.csv", "w", force_zip64=True) as member:
            member.writelines(rows())
    return path


def mbox(target: Path, size: int) -> Path:
    """One mailbox, every second message the author's, every fiftieth with an attachment of 300 kB."""
    random_ = random.Random("mbox")
    path = target / "mail.mbox"
    with path.open("wb") as file:
        number = 0
        while file.tell() < size:
            number += 1
            own = number % 2 == 0
            at = FIRST + timedelta(minutes=number)
            file.write(
                f"From {number}@x {at:%a %b %d %H:%M:%S +0000 %Y}\n"
                f"X-Gmail-Labels: {'Sent' if own else 'Inbox'}\n"
                f"Message-ID: <{number}@example.org>\n"
                f"From: {'Jane Doe <jane@example.org>' if own else 'Bob <bob@example.org>'}\n"
                f"Date: {at:%a, %d %b %Y %H:%M:%S +0000}\nSubject: {prose(random_, 4)}\n"
                "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n"
                f"Content-Type: text/plain; charset=utf-8\n\nHello,\n\n{prose(random_, 120)}\n\n{prose(random_, 80)}\n\n"
                f"On Mon, Jan 2, 2023 at 9:00 AM Bob <bob@example.org> wrote:\n> {prose(random_, 60)}\n\n".encode()
            )
            if number % 50 == 0:
                packed = base64.encodebytes(random_.randbytes(300_000))
                file.write(b"--b\nContent-Type: application/pdf\nContent-Disposition: attachment; filename=a.pdf\n")
                file.write(b"Content-Transfer-Encoding: base64\n\n" + packed)
            file.write(b"--b--\n\n")
    return path


def x(target: Path, size: int) -> Path:
    """One zip with posts, every fourth of which continues the one before."""
    random_ = random.Random("x")
    path = target / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr(
            "data/account.js", 'window.YTD.account.part0 = [{"account": {"accountId": "7", "username": "jane"}}]'
        )
        with file.open("data/tweets.js", "w", force_zip64=True) as member:
            member.write(b"window.YTD.tweets.part0 = [")
            written, number = 0, 0
            while written < size:
                number += 1
                tweet = {
                    "id_str": str(10**18 + number),
                    "full_text": prose(random_, 35),
                    "created_at": f"{FIRST + timedelta(minutes=number):%a %b %d %H:%M:%S +0000 %Y}",
                    "entities": {"hashtags": [], "symbols": [], "user_mentions": [], "urls": []},
                    "favorite_count": "1",
                    "lang": "en",
                    **({"in_reply_to_status_id_str": str(10**18 + number - 1)} if number % 4 == 0 else {}),
                }
                piece = (b", " if number > 1 else b"") + json.dumps({"tweet": tweet}).encode()
                written += len(piece)
                member.write(piece)
            member.write(b"]")
    return path


MAKE: dict[str, Callable[[Path, int], Path]] = {"linkedin": linkedin, "mbox": mbox, "x": x}


def read(path: Path) -> dict[str, float]:
    """Read one export in this process and say what it took."""
    from twin_core import identity
    from twin_core.collect import formats
    from twin_core.collect.registry import collector_for
    from twin_core.records import Found
    from twin_core.settings import Settings

    with tempfile.TemporaryDirectory(prefix="twin-imports-") as home:
        here = Settings(_env_file=None, home=Path(home))
        started = time.perf_counter()
        (found,) = formats.recognise(path, {}, here)
        source = found.source(identity.author_id("jane"), [], [])
        items = collector_for(source.platform).collect(source, {}, here)
        count = sum(isinstance(item, Found) for item in items)
        return {"items": count, "seconds": time.perf_counter() - started, "peak_mb": peak()}


def store(path: Path) -> dict[str, float]:
    """Import one export into an empty Postgres started for it, and say what it took."""
    from twin_core.collect import formats
    from twin_core.collect.run import collect_source
    from twin_core.records import Consent
    from twin_core.runtime import postgres
    from twin_core.runtime.stores import stores
    from twin_core.settings import Settings
    from twin_core.store import authors

    with tempfile.TemporaryDirectory(prefix="twin-imports-") as home:
        Path(home).chmod(0o755)
        here = Settings(_env_file=None, home=Path(home), postgres_port=5977)
        try:
            with stores(here) as opened:
                started = time.perf_counter()
                (found,) = formats.recognise(path, {}, here)
                with opened.database.transaction() as conn:
                    author = authors.add_author(conn, slug="jane", name="Jane")
                    made = found.source(author.id, [], [])
                    consent = Consent(claimed_by="Jane", proof="made up", claimed_at=datetime.now(UTC))
                    source = authors.add_source(
                        conn, author_id=author.id, platform=made.platform, locator=made.locator, options=made.options,
                        consent=consent,
                    )  # fmt: skip
                report = collect_source(opened.database, opened.warehouse, source, settings=here)
                return {"items": report.fetched, "seconds": time.perf_counter() - started, "peak_mb": peak()}
        finally:
            postgres.stop(here)


def peak() -> float:
    """High-water mark of this process's resident memory, in MB."""
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, megabytes: int, how: str, folder: Path) -> dict[str, float]:
    """Make an export and import it in a process of its own."""
    path = MAKE[name](folder, megabytes * 1_000_000)
    try:
        command = [sys.executable, __file__, f"--{how}-one", str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return json.loads(done.stdout.splitlines()[-1])
    finally:
        path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("formats", nargs="*", default=list(MAKE), metavar="FORMAT", help=", ".join(MAKE))
    parser.add_argument("--mb", type=int, nargs="+", default=[20, 200])
    parser.add_argument("--store", action="store_true", help="into a Postgres started for it, not only read")
    parser.add_argument("--read-one", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--store-one", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.read_one or asked.store_one:
        print(json.dumps(read(asked.read_one) if asked.read_one else store(asked.store_one)))
        return
    how = "store" if asked.store else "read"
    print(f"{'format':<10}{'MB':>7}{'items':>12}{'seconds':>10}{'items/s':>10}{'peak MB':>9}   ({how})")
    with tempfile.TemporaryDirectory(prefix="twin-imports-") as folder:
        for name in asked.formats:
            for megabytes in asked.mb:
                one = measure(name, megabytes, how, Path(folder))
                rate = one["items"] / one["seconds"]
                print(
                    f"{name:<10}{megabytes:>7,}{one['items']:>12,}{one['seconds']:>10.1f}{rate:>10,.0f}{one['peak_mb']:>9.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
