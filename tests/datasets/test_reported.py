"""A version comes with its ethics report, and limits on what that counts hold it back."""

from __future__ import annotations

from codecs import encode

import pytest

from tests.datasets.scenario import Writer, article, prose
from twin_core import forgetting
from twin_core.datasets.lexicons import SLURS_ROT13
from twin_core.datasets.versions import ETHICS_REPORT
from twin_core.errors import ValidationFailed
from twin_core.store.filed import filed
from twin_core.store.files import file_store, read_file
from twin_core.warehouse.postgres import PostgresWarehouse

FEW = [article(number) for number in range(12)]
SAID = article(12, f"Maria Okonkwo said it twice. {prose(12)}")
INSULT = article(12, f"They called us {encode(SLURS_ROT13[0], 'rot13')}s in the harbour. {prose(12)}")


def reports(writer: Writer) -> list[str]:
    with writer.database.transaction() as conn:
        return [one.key for one in filed(conn, writer.author.id, kind=ETHICS_REPORT)]


def test_a_new_version_has_a_report_and_its_figures_are_in_the_manifest(writer: Writer) -> None:
    writer.write(*FEW, SAID)
    built = writer.build()
    assert built.ethics["people"] == 1
    assert built.version.manifest["ethics"] == dict(built.ethics)
    assert reports(writer) == [built.ethics_key]
    assert built.ethics_key is not None
    page = read_file(file_store(writer.settings), built.ethics_key).decode()
    assert "Maria Okonkwo said it twice." in page
    assert built.version.id[:12] in page
    again = writer.build()
    assert not again.new
    assert len(reports(writer)) == 1


def test_a_slur_holds_the_version_back_and_the_report_says_where_it_is(writer: Writer) -> None:
    writer.write(*FEW)
    first = writer.build()
    writer.write(*FEW, INSULT)
    with pytest.raises(ValidationFailed, match=r"1 slurs where TWIN_ETHICS_BLOCKS allows 0\. Read file:///"):
        writer.build()
    assert writer.rows("SELECT id FROM training.dataset_versions") == [(first.version.id,)]
    assert len(reports(writer)) == 2
    writer.settings = writer.settings.model_copy(update={"ethics_blocks": {"slurs": 1}})
    assert writer.build().ethics["slurs"] == 1


def test_forgetting_the_document_takes_the_report_that_quotes_it(writer: Writer) -> None:
    writer.write(*FEW, SAID)
    built = writer.build()
    said = writer.document_at("12.md")
    receipt = forgetting.forget(
        writer.database, PostgresWarehouse(writer.database), writer.author, [said], settings=writer.settings
    )
    assert receipt.stores["files"] == forgetting.Counted(before=1, after=0)
    assert built.ethics_key is not None
    assert not file_store(writer.settings).exists(built.ethics_key)
