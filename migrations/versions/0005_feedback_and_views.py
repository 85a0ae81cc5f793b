"""Files and the documents they rest on; what people say of answers; the views that people ask first.

A file lies in a folder or a bucket, which cannot be asked by document; so each is a row here too, with the ids of all
documents whose text is in it. Feedback belongs to a trace and goes with it. Views are `security_invoker`, so that the
policies of the tables hold whoever looks through them.
"""

from alembic import op

revision = "0005"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE training.files (
    key text PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind ~ '^[a-z_]{1,40}$'),
    version_id text,
    document_ids uuid[] NOT NULL,
    bytes bigint NOT NULL CHECK (bytes >= 0),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX files_by_document ON training.files USING gin (document_ids);
CREATE INDEX files_by_version ON training.files (author_id, version_id, kind);

CREATE TABLE serving.feedback (
    id uuid PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    trace_id uuid NOT NULL REFERENCES serving.traces ON DELETE CASCADE,
    verdict text CHECK (verdict IN ('up', 'down')),
    edited text CHECK (edited <> ''),
    key_id uuid REFERENCES serving.api_keys ON DELETE SET NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (verdict IS NOT NULL OR edited IS NOT NULL)
);
CREATE INDEX feedback_by_trace ON serving.feedback (trace_id, at DESC);
CREATE INDEX feedback_by_author ON serving.feedback (author_id, at DESC);
"""

# Table -> what the API may do with the rows of its author.
NEW_TABLES = {"training.files": "SELECT", "serving.feedback": "SELECT, INSERT"}

VIEWS = {
    "documents_by_month": """
        SELECT d.author_id, s.platform, s.locator AS source, d.category,
               date_trunc('month', c.written_at, 'UTC')::date AS month, count(*) AS documents, sum(c.words) AS words
        FROM warehouse.documents d
        JOIN warehouse.sources s ON s.id = d.source_id
        JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id
        WHERE d.state = 'live'
        GROUP BY d.author_id, s.platform, s.locator, d.category, month
    """,
    # Code is left out: neither documents of that category nor fenced blocks say how someone writes.
    "style_by_month": r"""
        WITH prose AS (
            SELECT d.author_id, d.category, c.language, date_trunc('month', c.written_at, 'UTC')::date AS month,
                   regexp_replace(regexp_replace(c.text, '```.*?(```|$)', E'\n\n', 'g'), '`[^`\n]*`|https?://\S+', ' ', 'g')
                       AS text
            FROM warehouse.documents d
            JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id
            WHERE d.state = 'live' AND d.category <> 'code' AND c.written_at IS NOT NULL
        ), months AS (
            SELECT author_id, category, language, month, count(*) AS documents, string_agg(text, E'\n\n') AS text
            FROM prose GROUP BY author_id, category, language, month
        ), counted AS (
            SELECT m.*, w.words, w.distinct_words, w.letters,
                   greatest(1, regexp_count(text, '[.!?…。！？]+["'')\]»”’]*(\s|$)|\n\s*\n')) AS sentences
            FROM months m
            CROSS JOIN LATERAL (
                SELECT count(*) AS words, count(DISTINCT word) AS distinct_words, sum(length(word)) AS letters
                FROM regexp_split_to_table(lower(m.text), '[^[:alpha:]''’-]+') AS word
                WHERE word ~ '[[:alpha:]]'
            ) w
            WHERE w.words > 0
        )
        SELECT author_id, category, language, month, documents, words, sentences,
               round(words::numeric / sentences, 1) AS words_per_sentence,
               round(letters::numeric / words, 2) AS letters_per_word,
               distinct_words, round(distinct_words / sqrt(words::numeric), 2) AS vocabulary_richness,
               round(1000.0 * regexp_count(text, ',') / words, 1) AS commas_per_1000,
               round(1000.0 * regexp_count(text, '[;:]') / words, 1) AS colons_per_1000,
               round(1000.0 * regexp_count(text, '\s[-–—]\s|—') / words, 1) AS dashes_per_1000,
               round(1000.0 * regexp_count(text, '\?') / words, 1) AS questions_per_1000,
               round(1000.0 * regexp_count(text, '!') / words, 1) AS exclamations_per_1000
        FROM counted
    """,
    "pipeline_coverage": """
        SELECT d.author_id, s.platform, s.locator AS source, d.category, count(*) AS documents,
               count(c.revision_id) AS cleaned,
               count(*) FILTER (WHERE k.revision_id = d.head_revision_id) AS chunked,
               count(*) FILTER (WHERE k.revision_id = d.head_revision_id AND e.missing = 0 AND e.chunks > 0) AS searchable,
               count(f.document_id) AS failed
        FROM warehouse.documents d
        JOIN warehouse.sources s ON s.id = d.source_id
        LEFT JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id
        LEFT JOIN features.chunked_documents k ON k.document_id = d.id
        LEFT JOIN LATERAL (
            SELECT count(*) AS chunks, count(*) FILTER (WHERE v.chunk_id IS NULL) AS missing
            FROM features.chunks p
            LEFT JOIN features.embedding_models m ON m.serving
            LEFT JOIN features.embeddings v ON v.chunk_id = p.id AND v.model_id = m.id
            WHERE p.document_id = d.id
        ) e ON true
        LEFT JOIN (SELECT DISTINCT document_id FROM features.failures) f ON f.document_id = d.id
        WHERE d.state = 'live'
        GROUP BY d.author_id, s.platform, s.locator, d.category
    """,
    "dataset_versions": """
        SELECT v.author_id, v.id AS version_id, v.kind, v.created_at, v.published_at,
               row_number() OVER (PARTITION BY v.author_id, v.kind ORDER BY v.published_at DESC, v.id) = 1 AS is_current,
               v.tainted_at IS NOT NULL AS tainted, v.examples AS examples_published,
               (SELECT count(*) FROM training.dataset_examples m WHERE m.version_id = v.id) AS examples_left
        FROM training.dataset_versions v
    """,
    "dataset_examples": """
        SELECT m.author_id, m.version_id, e.id AS example_id, e.kind, m.split, m.rank, e.category, e.origin, e.language,
               e.words, e.document_id, e.revision_id, c.title, c.location, s.platform, s.locator AS source,
               e.prompt, e.answer, e.rejected
        FROM training.dataset_examples m
        JOIN training.examples e ON e.id = m.example_id
        JOIN warehouse.documents d ON d.id = e.document_id
        JOIN warehouse.sources s ON s.id = d.source_id
        LEFT JOIN features.cleaned_documents c ON c.revision_id = e.revision_id
    """,
    "dataset_documents": """
        SELECT o.author_id, o.version_id, v.kind, v.published_at, v.tainted_at IS NOT NULL AS tainted, o.document_id,
               o.revision_id, s.platform, s.locator AS source, c.title, c.location, c.written_at, o.split, o.passages,
               (SELECT count(*) FROM training.dataset_examples m JOIN training.examples e ON e.id = m.example_id
                WHERE m.version_id = o.version_id AND e.document_id = o.document_id) AS examples
        FROM training.dataset_documents o
        JOIN training.dataset_versions v ON v.id = o.version_id
        JOIN warehouse.documents d ON d.id = o.document_id
        JOIN warehouse.sources s ON s.id = d.source_id
        LEFT JOIN features.cleaned_documents c ON c.revision_id = o.revision_id
    """,
    "dataset_drops": """
        SELECT p.author_id, p.version_id, v.kind, v.published_at, p.reason, p.category, p.document_id, c.title,
               c.location, p.passages
        FROM training.dataset_drops p
        JOIN training.dataset_versions v ON v.id = p.version_id
        JOIN warehouse.documents d ON d.id = p.document_id
        LEFT JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id
    """,
    "source_activity": """
        WITH pieces AS (
            SELECT d.source_id, c.written_at,
                   c.written_at - lag(c.written_at) OVER (PARTITION BY d.source_id ORDER BY c.written_at) AS gap
            FROM warehouse.documents d
            JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id
            WHERE d.state = 'live'
        ), told AS (
            SELECT source_id, count(*) AS documents, max(written_at) AS last_written_at,
                   count(*) FILTER (WHERE written_at > now() - interval '90 days') AS in_90_days,
                   percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM gap) / 86400) AS usual_days
            FROM pieces GROUP BY source_id
        )
        SELECT s.author_id, s.id AS source_id, s.platform, s.locator AS source, s.paused, s.schedule,
               coalesce(t.documents, 0) AS documents, coalesce(t.in_90_days, 0) AS in_90_days, t.last_written_at,
               round(t.usual_days::numeric, 1) AS usual_days_between,
               extract(day FROM now() - t.last_written_at)::int AS days_silent, s.last_success_at, s.next_run_at
        FROM warehouse.sources s LEFT JOIN told t ON t.source_id = s.id
    """,
    "revisions": """
        SELECT r.author_id, r.document_id, r.id AS revision_id,
               row_number() OVER (PARTITION BY r.document_id ORDER BY r.fetched_at, r.id) AS revision,
               r.id = d.head_revision_id AS is_latest, r.fetched_at, c.title, c.words,
               c.words - lag(c.words) OVER (PARTITION BY r.document_id ORDER BY r.fetched_at, r.id) AS words_added, c.text
        FROM warehouse.revisions r
        JOIN warehouse.documents d ON d.id = r.document_id AND d.state = 'live'
        LEFT JOIN features.cleaned_documents c ON c.revision_id = r.id
    """,
    "threads": """
        SELECT d.author_id, d.id AS document_id, s.platform, s.locator AS source, c.title, c.location, c.written_at,
               jsonb_array_length(c.metadata -> 'thread') AS parts, c.words, c.text
        FROM warehouse.documents d
        JOIN warehouse.sources s ON s.id = d.source_id
        JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id
        WHERE d.state = 'live' AND jsonb_typeof(c.metadata -> 'thread') = 'array'
    """,
    "writing_rhythm": """
        SELECT d.author_id, s.platform, d.category, extract(isodow FROM c.written_at AT TIME ZONE 'UTC')::int AS weekday,
               to_char(c.written_at AT TIME ZONE 'UTC', 'FMDay') AS day,
               extract(hour FROM c.written_at AT TIME ZONE 'UTC')::int AS hour, count(*) AS documents,
               sum(c.words) AS words
        FROM warehouse.documents d
        JOIN warehouse.sources s ON s.id = d.source_id
        JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id
        WHERE d.state = 'live' AND c.written_at IS NOT NULL
        GROUP BY d.author_id, s.platform, d.category, weekday, day, hour
    """,
    "answer_feedback": """
        SELECT f.author_id, f.id AS feedback_id, f.trace_id, f.at, f.verdict, t.question, t.answer, f.edited,
               t.prompt_version, t.model, t.outcome,
               row_number() OVER (PARTITION BY f.trace_id ORDER BY f.at DESC, f.id) = 1 AS is_latest
        FROM serving.feedback f JOIN serving.traces t ON t.id = f.trace_id
    """,
    "files": """
        SELECT author_id, key, kind, version_id, bytes, created_at, cardinality(document_ids) AS documents
        FROM training.files
    """,
}


def upgrade() -> None:
    op.execute(TABLES)
    for table, rights in NEW_TABLES.items():
        name = table.replace(".", "_")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY {name}_pipeline ON {table} TO twin_pipeline USING (true) WITH CHECK (true)")
        op.execute(
            f"CREATE POLICY {name}_api ON {table} TO twin_api "
            f"USING (author_id = serving.author_in_session()) WITH CHECK (author_id = serving.author_in_session())"
        )
        op.execute(
            f"CREATE POLICY {name}_people ON {table} FOR SELECT TO twin_people "
            f"USING (author_id = (SELECT serving.author_of_session_user()))"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO twin_pipeline")
        op.execute(f"GRANT {rights} ON {table} TO twin_api")
        op.execute(f"GRANT SELECT ON {table} TO twin_people")
    for name, query in VIEWS.items():
        # Plain %, : and \\ of the regular expressions must reach the server as they are.
        op.get_bind().exec_driver_sql(f"CREATE VIEW analytics.{name} WITH (security_invoker = true) AS {query}")
        op.execute(f"GRANT SELECT ON analytics.{name} TO twin_pipeline, twin_api, twin_people")


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW analytics.{name}")
    op.execute("DROP TABLE serving.feedback, training.files")
