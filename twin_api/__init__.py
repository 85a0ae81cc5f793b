"""The REST API and its pages: a thin Litestar edge over twin_core, bound to one author per key."""
