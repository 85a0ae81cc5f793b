"""One Settings object: every knob of the product, read from the environment (prefix TWIN_) or a `.env` file.

Nothing else reads the environment. docs/settings.md is generated from the descriptions below by
`python -m twin_core.settings`, and a test holds the two together.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

RetrievalMode = Literal["off", "fast", "full"]
"""How much is done to find passages: nothing, a search without a language model, or all there is."""

CONNECT_SECONDS = 30
"""Longest wait for a database to let a login in. A refusal comes at once; this is for a server too busy to answer."""


class Settings(BaseSettings):
    """The product's settings. Defaults run everything on one machine, bound to localhost."""

    model_config = SettingsConfigDict(env_prefix="TWIN_", env_file=".env", extra="ignore", frozen=True)

    # Where state lives
    home: Path = Field(Path(".twin"), description="Folder of all local state: database, logs, files, secrets.")
    files: Path | None = Field(None, description="Folder for dataset files, adapters and reports. Default: HOME/files.")

    s3_url: str | None = Field(
        None,
        description="S3 bucket for those files instead of the folder: s3://bucket/prefix, with ?endpoint=https://… for a "
        "server that is not Amazon's. Keys are found where AWS's client finds them, such as AWS_ACCESS_KEY_ID.",
    )

    # Stores
    database_url: SecretStr | None = Field(
        None,
        description="Postgres with pgvector, as an owner of the database: postgresql://user:password@host/twin. "
        "Unset: an embedded Postgres under HOME.",
    )
    dagster_database_url: SecretStr | None = Field(
        None, description="Dagster's own database. Default: `dagster` on the same server."
    )
    mlflow_database_url: SecretStr | None = Field(
        None, description="MLflow's own database. Default: `mlflow` on the same server."
    )
    mlflow_url: str | None = Field(
        None,
        description="MLflow server that keeps the runs of training, http://host:port; `off`: none are kept. Unset: MLflow's "
        "own database, written to directly, whether or not the local server runs.",
    )
    mongo_url: SecretStr | None = Field(
        None, description="MongoDB for raw documents: mongodb://host/database. Unset: Postgres JSONB."
    )
    postgres_port: int = Field(5471, description="Port of the embedded Postgres, 127.0.0.1 only.")
    postgres_shared_buffers: str = Field("512MB", description="shared_buffers of the embedded Postgres.")
    postgres_max_connections: int = Field(120, description="max_connections of the embedded Postgres.")

    # Services
    host: str = Field("127.0.0.1", description="Address that every service binds to.")
    api_port: int = Field(8420, description="Port of the REST API and the web page.")
    dagster_port: int = Field(3470, description="Port of the Dagster UI.")
    dagster_code_port: int = Field(4266, description="Port of Dagster's gRPC code server.")
    mlflow_port: int = Field(5470, description="Port of the MLflow server.")
    llm_port: int = Field(8471, description="Port of the local LLM server.")

    api_requests_per_minute: int = Field(120, ge=1, description="Requests of one API key per minute.")
    api_streams: int = Field(16, ge=1, description="Answers and drafts that one API process writes at once.")
    api_streams_per_key: int = Field(4, ge=1, description="Of one API key.")
    api_tokens_per_minute: int = Field(
        100_000, ge=1, description="Tokens of one API key per minute: what it asks, what is written, what it embeds."
    )
    api_tokens_per_day: int = Field(5_000_000, ge=1, description="The same per day, in UTC.")
    api_cors_origins: list[str] = Field(
        default_factory=list,
        description='JSON list of origins whose pages may call the API with a key, such as ["https://desk.example"]. '
        "Empty: none but its own.",
    )
    api_hosts: list[str] = Field(
        default_factory=list,
        description="JSON list of names that the MCP endpoint is reached by besides this machine's own, such as "
        '["twin.example"] behind a proxy.',
    )

    # Models
    embedding_model: str = Field(
        "all-MiniLM-L6-v2",
        description="Any sentence-transformers id or folder. The default comes with the package, offline.",
    )
    embedding_batch_tokens: int = Field(16_384, description="Token budget of one embedding batch, padding included.")
    embedding_dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the processor or GPU computes in it, else float32."
    )
    base_model: str = Field(
        "stand-in",
        description="Hugging Face id or folder of the base model. `stand-in`: a tiny model trained on the spot, "
        "proof of the wiring and not of the writing.",
    )
    training_profile: str = Field(
        "tiny",
        description="How training goes unless told otherwise: tiny, 0.5b, 8b, 14b, 32b, 70b, or the path of a YAML file.",
    )
    llm_url: str | None = Field(
        None,
        description="Base URL of an OpenAI-compatible chat server (TGI, vLLM, ...), without /v1. Unset: the local one.",
    )
    llm_engine: Literal["tgi", "vllm", "transformers", "openai"] = Field(
        "transformers", description="What answers at LLM_URL; decides how an adapter is named in a request."
    )
    llm_route: Literal["chat", "generate"] = Field(
        "chat",
        description="TGI alone: `generate` asks its own route, /generate_stream, with the adapter as `adapter_id`. The server "
        "puts its chat template around the conversation (/chat_tokenize).",
    )
    llm_model: str | None = Field(None, description="Model name sent to the engine. Default: by engine.")
    llm_api_key: SecretStr | None = Field(None, description="Bearer token for the LLM server, where it wants one.")
    llm_connect_seconds: float = Field(3.0, description="Longest wait for a connection to the LLM server.")
    llm_first_token_seconds: float = Field(60.0, description="Longest wait for the first token.")
    llm_idle_seconds: float = Field(20.0, description="Longest silence between two tokens.")
    llm_total_seconds: float = Field(
        600.0,
        description="Longest time for one answer, however steadily it comes. Then it ends as one that is too long.",
    )
    llm_max_tokens: int = Field(700, description="Longest answer, in tokens, unless the request says less.")
    write_max_tokens: int = Field(
        5_000, ge=50, description="Longest draft, in tokens. It also stays within half of the model's window."
    )

    llm_adapters: Path | None = Field(
        None, description="Folder that adapters are put into for TGI or vLLM, as this machine sees it."
    )
    llm_adapters_there: str | None = Field(
        None, description="The same folder as the LLM server sees it. Default: the same path."
    )
    llm_restart: list[str] = Field(
        default_factory=list,
        description="JSON list, a command and its arguments, that restarts TGI's replicas one after the other: TGI reads its "
        "adapters only when it starts, from LORA_ADAPTERS in `adapters.env` of that folder.",
    )

    # Collection
    contact: str = Field("", description="Mail address or URL put into the crawler's user agent.")
    crawl_requests_per_second: float = Field(2.0, description="Requests per second and host, at most.")
    crawl_max_bytes: int = Field(10_000_000, description="Largest response that is read, in bytes.")
    crawl_timeout_seconds: float = Field(20.0, description="Longest time for one request, redirects included.")
    crawl_max_pages: int = Field(2_000, description="Most pages of one site per run.")
    crawl_allow_hosts: list[str] = Field(
        default_factory=list,
        description="JSON list of hosts, `host` or `host:port`, that may be fetched although their address is "
        'internal, such as ["127.0.0.1:8899"].',
    )
    medium_url: str = Field("https://medium.com", description="Where Medium's feeds are.")
    substack_url: str = Field(
        "https://{name}.substack.com", description="Where a Substack publication is that is given by its name."
    )
    github_url: str = Field("https://github.com", description="Where GitHub's repositories are cloned from.")
    github_api_url: str = Field("https://api.github.com", description="GitHub's REST API.")
    github_token: SecretStr | None = Field(
        None, description="Token for GitHub's API: a higher rate limit, and proof that an account is one's own."
    )
    linkedin_api_url: str = Field("https://api.linkedin.com", description="LinkedIn's API for members' own data.")
    linkedin_tokens: dict[str, SecretStr] = Field(
        default_factory=dict,
        description="JSON object: member name (the end of their profile's address) to an access token of LinkedIn's "
        "Member Data Portability API.",
    )
    max_file_bytes: int = Field(10_000_000, description="Largest file of a folder or repository that is read.")
    import_max_bytes: int = Field(
        64_000_000_000, description="Most bytes that an imported archive may unpack to; one that would is refused."
    )
    import_max_upload_bytes: int = Field(
        4_000_000_000, description="Largest export that is taken through the API. `twin import` takes any."
    )
    import_max_member_bytes: int = Field(
        50_000_000, description="Largest single piece of an imported archive: an article, a message, a paper."
    )

    # Retrieval
    search_dense_candidates: int = Field(100, description="Candidates of the dense leg.")
    search_lexical_candidates: int = Field(100, description="Candidates of the lexical leg.")
    search_exact_below: int = Field(
        15_000, description="Rows matching author and filters below which the scan is exact."
    )
    retrieval: RetrievalMode = Field(
        "fast",
        description="How passages are found unless the request says it. off: not at all; fast: by meaning and by words, "
        "without a language model; full: the language model reads the question first, and the best passages are ranked anew.",
    )
    search_rules: bool = Field(
        True,
        description="Whether what a question says outright of when, in what kind and where something was written is "
        "preferred, as rules read it. They read English.",
    )
    understanding_queries: int = Field(
        3, ge=0, le=5, description="Other words for a question that the language model is asked for, in `full`."
    )
    understanding_seconds: float = Field(
        4.0, gt=0, description="Longest wait for the language model's reading of a question; then it goes without."
    )
    rerank_model: str = Field(
        "cross-encoder/ms-marco-MiniLM-L6-v2",
        description="Cross-encoder that ranks the best passages anew in `full`: any sentence-transformers id or folder. "
        "Empty: none.",
    )
    rerank_seconds: float = Field(
        2.0, gt=0, description="Longest time for ranking anew; then the passages keep the order of the search."
    )
    context_passages: int = Field(6, description="Passages put into a prompt.")

    answer_cache_hours: float = Field(
        0.0,
        ge=0,
        description="Hours for which an answer is given again to the same question of the same conversation, while corpus, "
        "model, prompt and settings are the same. 0: every question is answered anew.",
    )

    # Traces: what is kept of every answer and draft
    llm_price_prompt: float = Field(0.0, ge=0, description="Price of a million prompt tokens, for the cost in traces.")
    llm_price_completion: float = Field(0.0, ge=0, description="Price of a million tokens that the model writes.")
    trace_redact: bool = Field(
        False,
        description="Replace personal data and secrets in traces and feedback before they are stored; what "
        "TWIN_DATASET_KEEP lists stays.",
    )
    trace_texts: float = Field(
        1.0, ge=0, le=1, description="Share of traces that keep their texts. Ids, figures and outcome are always kept."
    )
    trace_mlflow: Literal["off", "figures", "texts"] = Field(
        "off",
        description="Copies of traces in MLflow, an experiment per author, made in the background: `figures` are ids, "
        "steps, tokens, cost and verdicts; `texts` also question, answer and passages, as they are kept.",
    )
    trace_texts_days: int | None = Field(
        None, ge=1, description="Days after which the texts of a trace and of its feedback go. Unset: never."
    )
    trace_days: int | None = Field(
        None, ge=1, description="Days after which traces go altogether, and their feedback. Unset: never."
    )

    # Datasets
    dataset_instructions: Literal["auto", "llm", "rules"] = Field(
        "auto",
        description="Who writes the instructions of training examples. auto: the LLM server where one answers, else "
        "rules; llm: no dataset without it; rules: never ask.",
    )
    dataset_context_passages: int = Field(
        3, ge=0, description="Passages quoted in a training prompt, found as in serving. 0: none."
    )
    dataset_keep: list[str] = Field(
        default_factory=list,
        description="JSON list of the author's public addresses and numbers that redaction leaves in training examples.",
    )
    dataset_most_private: float = Field(
        0.0, ge=0, le=1, description="Largest share of examples that may hold personal data or secrets after redaction."
    )
    dataset_most_rule_made: float = Field(
        1.0, ge=0, le=1, description="Largest share of instructions made by rule. Lower it where an LLM is at hand."
    )
    dataset_rejected_models: list[str] = Field(
        default_factory=list,
        description="JSON list of who writes rejected answers: models by their names on the LLM server, and, without a server, `local:base` "
        "(the base model that is trained on) and `local:adapter` (the author's newest SFT adapter on it). Empty: the one that serves.",
    )
    dataset_pairs_per_document: int = Field(4, ge=1, description="Most preference pairs made from one document.")
    dataset_pairs: int = Field(400, ge=1, description="Most preference pairs that models write answers for.")
    hub_url: str = Field(
        "https://huggingface.co", description="Hugging Face Hub that datasets are pushed to on request."
    )
    hub_token: SecretStr | None = Field(
        None, description="Token of the Hub with the right to write. Unset: no pushing."
    )
    ethics_blocks: dict[str, int] = Field(
        default_factory=lambda: {"slurs": 0},
        description="JSON object: the most of each count of the ethics report with which a dataset version is published. "
        "Counts: people, people_negative, groups, groups_negative, slurs, quotes.",
    )

    # Evaluation: two axes that are off unless named, and that no gate reads
    style_model: str | None = Field(
        None,
        description="Embedding model of style for the scorecard, a sentence-transformers id or folder, such as "
        "StyleDistance/styledistance. Unset: that axis is left out.",
    )
    judge_model: str | None = Field(
        None,
        description="Name of the language model that judges answers beside the author's text for the scorecard, as its server "
        "calls it. Unset: nobody judges.",
    )
    judge_url: str | None = Field(
        None,
        description="Base URL of the judge's OpenAI-compatible server, without /v1. The author's texts are sent there. "
        "Unset: the LLM server.",
    )
    judge_engine: Literal["tgi", "vllm", "transformers", "openai"] = Field(
        "openai", description="What answers at JUDGE_URL, where one is set."
    )
    judge_api_key: SecretStr | None = Field(
        None, description="Bearer token for JUDGE_URL, where it wants one. The LLM server's is never sent there."
    )

    # Security
    session_hours: int = Field(
        168, ge=1, le=8_760, description="How long a person stays signed in at the page, in hours."
    )
    role_secret: SecretStr | None = Field(
        None, description="Secret from which the passwords of the database roles are derived. Default: HOME/secrets."
    )
    alert_url: SecretStr | None = Field(
        None, description="Webhook that receives failure alerts as JSON. Unset: log only."
    )

    @property
    def files_folder(self) -> Path:
        """Folder of dataset files, adapters and reports."""
        return self.files or self.home / "files"

    @property
    def llm_base_url(self) -> str:
        """Base URL of the chat server, with `/v1`."""
        base = self.llm_url or f"http://{self.host}:{self.llm_port}"
        return base.rstrip("/") + "/v1"


@lru_cache(maxsize=1)
def settings() -> Settings:
    """The settings of this process, read once. Tests build their own `Settings(...)` and pass it on."""
    return Settings()


def as_markdown() -> str:
    """Every setting once, as the Markdown table of docs/settings.md."""
    rows = ["| setting | default | what it does |", "|---|---|---|"]
    for name, info in Settings.model_fields.items():
        default = info.get_default(call_default_factory=True)
        shown = "" if default is None or default == "" else f"`{default}`"
        rows.append(f"| `TWIN_{name.upper()}` | {shown} | {info.description} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print("# Settings\n\nGenerated by `python -m twin_core.settings`; edit the descriptions there.\n")
    print(as_markdown(), end="")
