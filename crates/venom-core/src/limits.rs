//! Every limit of the domain, with its unit in the name. Over a limit is an error, never a slow death.

/// Longest text of one memory, in UTF-8 bytes (256 KiB, about 60,000 tokens).
pub const CONTENT_BYTES_MAX: usize = 256 * 1024;
/// Longest search text, in UTF-8 bytes. The model reads its first 256 tokens.
pub const QUERY_BYTES_MAX: usize = 16 * 1024;
/// Most tags on one memory.
pub const TAGS_MAX: usize = 10;
/// Longest tag, in characters (Unicode scalar values).
pub const TAG_CHARS_MAX: usize = 50;
/// Most turns that are stored in one call.
pub const TURNS_MAX: usize = 1_000;
/// Longest text of all turns of one call together, in UTF-8 bytes (1 MiB).
pub const TURNS_BYTES_MAX: usize = 1024 * 1024;
/// Most results of one search.
pub const RESULTS_MAX: usize = 20;
/// Results of a search that names no limit.
pub const RESULTS_DEFAULT: usize = 5;
/// Most memories on one page of a listing.
pub const PAGE_MEMORIES_MAX: usize = 1_000;
/// Memories on a page that names no size.
pub const PAGE_MEMORIES_DEFAULT: usize = 20;
/// Most versions of one memory that are told at once, the newest.
pub const VERSIONS_MAX: usize = 1_000;
/// Longest text of all of them together, in UTF-8 bytes (4 MiB).
pub const VERSIONS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest metadata of one memory from elsewhere, in UTF-8 bytes of JSON (64 KiB).
pub const METADATA_BYTES_MAX: usize = 64 * 1024;
/// Most memories that are imported in one transaction.
pub const IMPORT_BATCH_MAX: usize = 256;
/// Most memories that are moved to another space, or hidden with theirs, in one transaction.
pub const SPACE_BATCH_MAX: usize = 256;
/// Longest name of a space or a persona, in characters.
pub const NAME_CHARS_MAX: usize = 128;
/// Longest persona file, in bytes.
pub const PERSONA_BYTES_MAX: usize = 1024 * 1024;
