"""Exports as they really look, quirks included, written by hand into a folder. All texts and people are made up here."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from urllib.parse import quote

SHARES = [
    ("2024-03-01 08:15:00", "7000000000000000001", 'Release day.\nNothing broke, which is "normal" now.', "PUBLIC"),
    ("2024-03-02 09:00:00", "7000000000000000002", "", "PUBLIC"),  # a bare reshare
    ("2024-03-03 10:30:00", "7000000000000000003", "Ein Deploy am Freitag – warum nicht? 🚀", "PUBLIC"),
]


def linkedin(folder: Path) -> Path:
    """Shares with wrapped line breaks, comments with a preamble and escaped quotes, articles with missing dates."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Profile.csv").write_text("First Name,Last Name,Maiden Name\nJane,Doe,\n", "utf-8-sig")
    rows = ["Date,ShareLink,ShareCommentary,SharedUrl,MediaUrl,Visibility"]
    for date, number, text, visibility in SHARES:
        link = "https://www.linkedin.com/feed/update/" + quote(f"urn:li:share:{number}", safe="")
        wrapped = text.replace('"', '""').replace("\n", '""\n""')
        rows.append(f'{date},"{link}","{wrapped}",https://example.org/a,,{visibility}')
    (folder / "Shares_4711.csv").write_text("\n".join(rows) + "\n", "utf-8-sig")
    urn = quote("urn:li:comment:(activity:7000000000000000009,7000000000000000010)", safe="")
    (folder / "Comments_4711.csv").write_text(
        'Notes:\n"Comments that were deleted are not listed, ""as you know""."\n\nDate,Link,Message\n'
        "2024-04-01 12:00:00,https://www.linkedin.com/feed/update/urn%3Ali%3Aactivity%3A7000000000000000009?commentUrn="
        f'{urn},"She said \\"measure first\\", and she was right."\n',
        "utf-8-sig",
    )
    (folder / "InstantReposts_4711.csv").write_text(
        "Date,Link\n2024-05-01 12:00:00,https://www.linkedin.com/feed/update/urn%3Ali%3Aactivity%3A7000000000000000011\n"
    )
    articles = folder / "Articles" / "Articles"
    articles.mkdir(parents=True)
    (articles / "2024-02-24 00_09_00.0-How-we-cut-the-queue.html").write_text(
        '<html><head><title>How we cut the queue</title></head><body><h1><a href="https://www.linkedin.com/pulse/how-we-'
        'cut-queue-jane-doe-abcde">How we cut the queue</a></h1><p class="created">Created on 2024-02-23 22:00</p>'
        '<p class="published">Published on 2024-02-24 00:09</p><div><p>First, we counted. Then we <strong>stopped</strong>.'
        "</p><pre><code>SELECT count(*)\n  FROM jobs</code></pre><blockquote>Queues are where hope waits.</blockquote>"
        "</div></body></html>"
    )
    (articles / "Über-Straßen-und-Züge.html").write_text(
        "<html><head><title>Über Straßen &amp; Züge</title></head><body><h1>Über Straßen &amp; Züge</h1>"
        '<p class="created"></p><div><p>Ein Text ohne Datum.</p></div></body></html>'
    )
    return folder


def medium_page(
    title: str, body: str, *, canonical: str | None, date: str | None, tags: str = "", subtitle: str = ""
) -> str:
    """One page of the export; without an address it is a draft's, whose footer has no links."""
    footer = ""
    if canonical:
        footer = (
            f'<p>By <a href="https://medium.com/@jane.doe" class="p-author h-card">Jane Doe</a> on <a href="{canonical}">'
            f'<time class="dt-published" datetime="{date}">a day</time></a>.</p><p><a href="{canonical}" class="p-canonical">'
            f'Canonical link</a></p><p>Exported from <a href="https://medium.com">Medium</a> on March 1, 2024.</p>'
        )
    summary = f'<section data-field="subtitle" class="p-summary">{subtitle}</section>' if subtitle else ""
    tagged = "".join(f'<a class="p-tag" href="#">{tag}</a>' for tag in tags.split(",") if tag)
    return (
        f'<!DOCTYPE html><html><head><meta http-equiv="Content-Type" content="text/html; charset=utf-8"><title>{title}</title>'
        f'</head><body><article class="h-entry"><header><h1 class="p-name">{title}</h1></header>{summary}'
        f'<section data-field="body" class="e-content"><section class="section"><div class="section-inner">{body}</div></section>'
        f"</section><footer>{footer}{tagged}</footer></article></body></html>"
    )


def medium(folder: Path) -> Path:
    """A story with code, a comment on somebody's story, and a draft."""
    posts = folder / "posts"
    posts.mkdir(parents=True, exist_ok=True)
    (folder / "profile").mkdir(exist_ok=True)
    (folder / "profile" / "profile.html").write_text(
        '<html><body><h1>Jane</h1><a class="u-url" href="https://medium.com/@jane.doe">@jane.doe</a></body></html>'
    )
    (posts / "2023-05-04_Naming-things-3f2a9c11b0de.html").write_text(
        medium_page(
            "Naming &amp; other things",
            '<h3 name="a" class="graf graf--h3 graf--leading graf--title">Naming &amp; other things</h3>'
            '<p class="graf graf--p">A name is a promise.</p>'
            '<pre class="graf graf--pre">def refit(ship):<br>    return ship</pre>'
            '<blockquote class="graf graf--blockquote">There are only two hard things.</blockquote>'
            '<figure class="graf graf--figure"><img src="https://cdn.example/x.png"><figcaption>A ship</figcaption></figure>'
            '<p class="graf graf--p">Keep it &lt;short&gt;.</p>',
            canonical="https://medium.com/@jane.doe/naming-things-3f2a9c11b0de",
            date="2023-05-04T09:30:00.000Z",
            tags="Naming,Code",
            subtitle="On ships",
        ),
        "utf-8",
    )
    (posts / "2023-06-01_I-agree-with-this--0a1b2c3d4e5f.html").write_text(
        medium_page(
            "I agree with this.",
            '<p class="graf graf--p">I agree with this. We tried it for a year.</p>',
            canonical="https://medium.com/@jane.doe/i-agree-0a1b2c3d4e5f",
            date="2023-06-01T10:00:00.000Z",
        ),
        "utf-8",
    )
    (posts / "draft_Not-yet-99aa88bb77cc.html").write_text(
        medium_page("Not yet", '<p class="graf graf--p">Half a thought.</p>', canonical=None, date=None), "utf-8"
    )
    return folder


SUBSTACK_COLUMNS = "post_id,post_date,is_published,email_sent_at,inbox_sent_at,type,audience,title,subtitle,podcast_url"


def substack(folder: Path) -> Path:
    """A newsletter, a thread, a podcast without text, a draft, and a page that has entities in its title."""
    posts = folder / "posts"
    posts.mkdir(parents=True, exist_ok=True)
    (folder / "posts.csv").write_text(
        SUBSTACK_COLUMNS + "\n"
        "123401.plain-text,2023-09-01T06:00:00.000Z,TRUE,2023-09-01T06:00:05.000Z,,newsletter,everyone,"
        'Plain text &amp; patience,"Why, in short",\n'
        "123402.talk,2023-09-02T06:00:00.000Z,TRUE,,,thread,everyone,What do you bake?,,\n"
        "123403.hear,2023-09-03T06:00:00.000Z,TRUE,,,podcast,everyone,Hear this,,https://example.org/a.mp3\n"
        "123404.draft,,FALSE,,,newsletter,only_paid,,,\n",
        "utf-8",
    )
    (folder / "email_list.janes-letters.csv").write_text("email\nreader@example.org\n")
    (posts / "123401.plain-text.html").write_text(
        "<p>Plain text waits for you.</p><h2>Patience</h2><ul><li>one</li><li>two</li></ul>"
        '<p class="button-wrapper"><a class="button primary" href="#">Subscribe now</a></p><div class="paywall-jump"></div>'
        '<div class="digest-post-embed">Somebody else\'s post</div><div class="poll-embed">A poll</div>'
        "<blockquote><p>Slow is smooth.</p></blockquote>",
        "utf-8",
    )
    (posts / "123402.talk.html").write_text("<p>What do you bake on Sundays? I bake rye.</p>", "utf-8")
    (posts / "123404.draft.html").write_text("<p>Not for you yet.</p>", "utf-8")
    return folder


def tweet(number: int, text: str, date: str, **more: object) -> dict[str, object]:
    return {
        "tweet": {
            "id_str": str(number),
            "id": str(number),
            "full_text": text,
            "created_at": date,
            "lang": "en",
            "favorite_count": "1",
            "entities": {"urls": []},
            **more,
        }
    }


TWEETS = [
    tweet(
        1003, "Third: tests &amp; patience.", "Sat Feb 18 12:40:00 +0000 2023",
        in_reply_to_status_id_str="1002", in_reply_to_user_id_str="77",
    ),
    tweet(1001, "A thread on queues. First: count.", "Sat Feb 18 12:33:11 +0000 2023"),
    tweet(
        1002, "Second: stop. https://t.co/abc", "Sat Feb 18 12:35:00 +0000 2023",
        in_reply_to_status_id_str="1001", in_reply_to_user_id_str="77",
        entities={"urls": [{"url": "https://t.co/abc", "expanded_url": "https://example.org/queues"}]},
    ),
    tweet(1004, "RT @somebody: not my words", "Sun Feb 19 08:00:00 +0000 2023"),
    tweet(
        1005, "@somebody @else No: a queue is a debt.", "Sun Feb 19 09:00:00 +0000 2023",
        in_reply_to_status_id_str="999", in_reply_to_user_id_str="88",
    ),
    tweet(
        1006, "Here is the picture https://t.co/pic", "Sun Feb 19 10:00:00 +0000 2023",
        extended_entities={"media": [{"url": "https://t.co/pic"}]},
    ),
    tweet(
        1007, "A typo hre", "Mon Feb 20 08:00:00 +0000 2023",
        edit_info={"initial": {"editTweetIds": ["1007", "1008"], "editableUntil": "2023-02-20T08:30:00.000Z"}},
    ),
    tweet(
        1008, "A typo here, gone", "Mon Feb 20 08:01:00 +0000 2023",
        edit_info={"edit": {"initialTweetId": "1007", "editControlInitial": {"editTweetIds": ["1007", "1008"]}}},
    ),
    tweet(
        1009, "A long post begins here and goes on for quite a while until X cuts it off in the middle of the… https://t.co/more",
        "Tue Feb 21 08:00:00 +0000 2023",
    ),
]  # fmt: skip
NOTE = (
    "A long post begins here and goes on for quite a while until X cuts it off in the middle of the night, as one says."
)


def x(folder: Path, tweets: list[dict[str, object]] | None = None) -> Path:
    """Posts in two parts, the second thread post in the other part; a long text in a file of its own."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    entries = TWEETS if tweets is None else tweets
    (data / "account.js").write_text(
        'window.YTD.account.part0 = [ {"account": {"accountId": "77", "username": "jane_doe", "email": "jane@example.org"}} ]'
    )
    half = len(entries) // 2
    (data / "tweets.js").write_text(
        f"window.YTD.tweets.part0 = {json.dumps(entries[:half], indent=1, ensure_ascii=False)}"
    )
    (data / "tweets-part1.js").write_text(f"window.YTD.tweets.part1 = {json.dumps(entries[half:], ensure_ascii=False)}")
    (data / "note-tweet.js").write_text(
        "window.YTD.note_tweet.part0 = " + json.dumps([{"noteTweet": {"noteTweetId": "5", "core": {"text": NOTE}}}])
    )
    return folder


MBOX = """From 1001@xxx Mon Jan 02 10:00:00 +0000 2023
X-Gmail-Labels: Sent,Important
Message-ID: <one@example.org>
From: "Jane Doe" <Jane@Example.org>
To: bob@example.org
Subject: =?utf-8?q?Re=3A_Z=C3=BCge?=
Date: Mon, 02 Jan 2023 11:00:00 +0100
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Hello Bob,

the train to K=F6ln leaves at nine.

> which train?

That one.

>From there we walk.

Best regards,
Jane

On Mon, Jan 2, 2023 at 9:00 AM Bob <bob@example.org> wrote:
> which train do you take?
> Bob

From 1002@xxx Mon Jan 02 12:00:00 +0000 2023
X-Gmail-Labels: Inbox
Message-ID: <two@example.org>
From: Bob <bob@example.org>
To: jane@example.org
Subject: Your money
Date: Mon, 02 Jan 2023 12:00:00 +0000

Not Jane's words.

From 1003@xxx Tue Jan 03 10:00:00 +0000 2023
X-Gmail-Labels: Sent
Message-ID: <three@example.org>
From: jane@example.org
Subject: Fwd: minutes
Date: Tue, 03 Jan 2023 10:00:00 +0000

---------- Forwarded message ---------
From: Bob <bob@example.org>

Bob's minutes.

From 1004@xxx Wed Jan 04 10:00:00 +0000 2023
X-Gmail-Labels: Sent
Message-ID: <four@example.org>
From: jane@example.org
Subject: The plan
Date: Wed, 04 Jan 2023 10:00:00 +0000
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="b"

--b
Content-Type: text/html; charset=utf-8

<html><body><p>We start on <b>Monday</b>. Bring rope.</p><div class="gmail_quote"><blockquote>Bob's plan</blockquote></div></body></html>
--b--

"""


def mbox(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "All mail Including Spam and Trash.mbox"
    file.write_bytes(MBOX.encode("utf-8"))
    return file


def telegram(folder: Path, *, whole: bool = True) -> Path:
    """An account with a chat, saved messages and an own channel; or one chat alone."""
    folder.mkdir(parents=True, exist_ok=True)

    def said(number: int, who: str, text: object, stamp: int, **more: object) -> dict[str, object]:
        names = {"user1": "Jane", "user2": "Bob", "channel9": "Jane's Log"}
        return {
            "id": number, "type": "message", "date": "2023-01-02T10:00:00", "date_unixtime": str(stamp),
            "from": names[who], "from_id": who, "text": text, "text_entities": [], **more,
        }  # fmt: skip

    chat = {
        "name": "Bob",
        "type": "personal_chat",
        "id": 2,
        "messages": [
            {"id": 1, "type": "service", "date": "2023-01-02T09:00:00", "actor": "Bob", "action": "phone_call"},
            said(2, "user2", "Which knot do you use?", 1672653600),
            said(3, "user1", ["A ", {"type": "bold", "text": "bowline"}, ", because the load closes it."], 1672653660),
            said(4, "user1", "It also opens again.", 1672653720),
            said(5, "user1", "Forwarded wisdom of somebody", 1672653780, forwarded_from="Somebody"),
            said(6, "user1", "ok", 1672740000),
        ],
    }
    channel = {
        "name": "Jane's Log",
        "type": "public_channel",
        "id": 9,
        "messages": [said(1, "channel9", "Laid up the boat today.", 1675000000)],
    }
    account = {
        "about": "Here is the data you requested.",
        "personal_information": {"user_id": 1, "first_name": "Jane", "username": "@jane_tg"},
        "chats": {"about": "This page lists all chats", "list": [chat, channel]},
    }
    (folder / "result.json").write_text(json.dumps(account if whole else chat, ensure_ascii=False, indent=1), "utf-8")
    return folder


WHATSAPP_ANDROID = (
    "1/2/23, 10:00 AM - Messages and calls are end-to-end encrypted.\n"
    "1/2/23, 10:01 AM - Bob: Are you coming?\n"
    "1/2/23, 10:02 AM - Jane Doe: Yes, at noon:\nwith the long rope and bread.\n"
    "1/2/23, 10:03 AM - Jane Doe: <Media omitted>\n"
    "1/13/23, 9:00\u202fPM - Jane Doe: The wind turned, we stay another day. <This message was edited>\n"
)
WHATSAPP_IOS = (
    "\u200e[02.01.23, 10:01:00] Bob: \u200eMessages and calls are end-to-end encrypted.\n"
    "[02.01.23, 10:02:00] Jane Doe: Yes, at noon, with the long rope.\n"
    "\u200e[02.01.23, 10:03:00] Jane Doe: \u200eimage omitted\n"
    "[02.01.23, 10:04:00] Bob: Good: see you\n"
)


def whatsapp(folder: Path, text: str = WHATSAPP_ANDROID, name: str = "WhatsApp Chat with Bob.txt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, "utf-8")
    return folder / name


def pdf(lines: list[list[str]], *, title: str = "On Ropes") -> bytes:
    """A small PDF of text pages, written out by hand."""
    objects: list[bytes] = [b"<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{4 + 2 * at} 0 R" for at in range(len(lines)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(lines)} >>".encode())
    objects.append(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
    for at, page in enumerate(lines):
        content = "BT /F1 11 Tf 14 TL 50 780 Td " + " ".join(
            f"({line.replace('(', chr(92) + '(').replace(')', chr(92) + ')')}) Tj T*" for line in page
        )
        stream = (content + " ET").encode("cp1252")
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> "
            f"/Contents {5 + 2 * at} 0 R >>".encode()
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n".encode() + stream + b"\nendstream")
    objects.append(f"<< /Title ({title}) /CreationDate (D:20220504120000+02'00') >>".encode())
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n".encode() + body + b"\nendobj\n")
    start = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    out.writelines(f"{place:010d} 00000 n \n".encode() for place in places)
    out.write(
        f"trailer << /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    )
    return out.getvalue()


def docx(paragraphs: list[tuple[str | None, str]], *, title: str = "Knots in use") -> bytes:
    """A small DOCX; each paragraph with a style such as `Heading1`, or None."""
    body = "".join(
        f"<w:p>{f'<w:pPr><w:pStyle w:val={chr(34)}{style}{chr(34)}/></w:pPr>' if style else ''}"
        f"<w:r><w:t>{text}</w:t></w:r></w:p>"
        for style, text in paragraphs
    )
    parts = {
        "[Content_Types].xml": '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.'
        'document.main+xml"/></Types>',
        "_rels/.rels": '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" '
        'Target="word/document.xml"/></Relationships>',
        "word/document.xml": '<?xml version="1.0"?><w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/'
        f'main"><w:body>{body}</w:body></w:document>',
        "word/styles.xml": '<?xml version="1.0"?><w:styles xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        '<w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/></w:style></w:styles>',
        "word/_rels/document.xml.rels": '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/'
        'relationships"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" '
        'Target="styles.xml"/></Relationships>',
        "docProps/core.xml": '<?xml version="1.0"?><cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/'
        'metadata/core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/">'
        f"<dc:title>{title}</dc:title><dcterms:created>2021-03-04T05:06:07Z</dcterms:created></cp:coreProperties>",
    }
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, text in parts.items():
            file.writestr(name, text)
    return out.getvalue()


def papers(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pages = [
        ["Journal of Ropes 12", "On Ropes", "A rope remembers every load it has ever held, which is why we in-",
         "spect it before it is asked to hold a person again, and not after.", "1"],
        ["Journal of Ropes 13", "The second page says so once more, with other words and a longer breath, and",
         "ends here.", "2"],
        ["Journal of Ropes 14", "The third page closes the case.", "References", "[1] Somebody, Something.", "3"],
    ]  # fmt: skip
    (folder / "on-ropes.pdf").write_bytes(pdf(pages))
    (folder / "Knoten & Stiche.docx").write_bytes(
        docx([("Heading1", "The bowline"), (None, "It holds because the load closes it."), (None, "That is all.")])
    )
    return folder


def zipped(folder: Path, target: Path) -> Path:
    """A folder (or file) as a zip."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        if folder.is_file():
            file.write(folder, folder.name)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(folder).as_posix())
    return target


def as_csv(rows: list[dict[str, str]], columns: list[str]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
