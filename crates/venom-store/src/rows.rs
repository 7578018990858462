//! Stored values and what they mean: the one place where bytes of the file become domain types.

use crate::fault::Fault;
use rusqlite::{Connection, Row};
use venom_core::{
    ClientName, Content, InputError, Memory, MemoryId, Metadata, ModelStamp, Origin, PassageSpan,
    RequestKey, SessionName, Source, SpaceName, Speaker, Tags, Timestamp, TokenName, Verdict,
};

/// The name of a space from its column.
pub(crate) fn space_name(column: &str) -> Result<SpaceName, Fault> {
    SpaceName::parse(column).map_err(|_| Fault::corrupt(format!("a space has the name {column:?}")))
}

/// The columns that [`memory`] reads, of `memories AS m` joined with `spaces AS s`.
pub(crate) const MEMORY_COLUMNS: &str = "m.seq, m.id, s.name, m.stored_at_us, m.content, m.speaker, m.session, m.occurred_at_us, m.client, \
     m.token, m.quarantine, m.metadata";
/// How many there are: where a query's further columns start.
pub(crate) const MEMORY_COLUMNS_COUNT: usize = 12;

/// A memory from a row of [`MEMORY_COLUMNS`], with its tags.
pub(crate) fn memory(connection: &Connection, row: &Row<'_>) -> Result<Memory, Fault> {
    let seq: i64 = row.get(0)?;
    let broken =
        |what: &str| Fault::corrupt(format!("the {what} of memory row {seq} is not valid"));
    let content = row.get_ref(4)?.as_str().map_err(rusqlite::Error::from)?;
    let space = row.get_ref(2)?.as_str().map_err(rusqlite::Error::from)?;
    Ok(Memory {
        id: memory_id(row.get(1)?)?,
        space: SpaceName::parse(space).map_err(|_| broken("space"))?,
        content: Content::parse(content).map_err(|_| broken("text"))?,
        tags: tags(connection, seq)?,
        stored_at: Timestamp::from_micros(row.get(3)?),
        origin: origin(row, seq, 5)?,
        source: source(row, seq, 8)?,
        quarantined: Quarantine::of_column(row.get(10)?).is_some_and(Quarantine::hides),
        metadata: metadata(row, 11)?.map_err(|_| broken("metadata"))?,
    })
}

/// What else is known of a memory, from its column.
fn metadata(
    row: &Row<'_>,
    column: usize,
) -> Result<Result<Option<Metadata>, InputError>, rusqlite::Error> {
    let text = row.get_ref(column)?.as_str_or_null()?;
    Ok(text.map(Metadata::parse).transpose())
}

/// Where a memory stands that came in through quarantine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quarantine {
    /// The owner has not decided.
    Waits = 1,
    Discarded = 2,
    Released = 3,
}

impl Quarantine {
    /// From the column `quarantine`; NULL for most memories. The table takes no other numbers.
    pub(crate) fn of_column(column: Option<i64>) -> Option<Self> {
        let all = [Self::Waits, Self::Discarded, Self::Released];
        all.into_iter().find(|state| Some(*state as i64) == column)
    }

    /// What the owner decided.
    pub(crate) const fn of_verdict(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Release => Self::Released,
            Verdict::Discard => Self::Discarded,
        }
    }

    /// Whether the memory is hidden because of it.
    pub(crate) fn hides(self) -> bool {
        self != Self::Released
    }
}

/// A name in a column that may be empty; `what` it is called, for the fault.
fn name<T, E>(
    row: &Row<'_>,
    seq: i64,
    column: usize,
    what: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>, Fault> {
    let text = row.get_ref(column)?.as_str_or_null();
    let parsed = text.map_err(rusqlite::Error::from)?.map(parse).transpose();
    parsed.map_err(|_| Fault::corrupt(format!("the {what} of memory row {seq} is not valid")))
}

/// Through whom a memory came in, from the columns `client, token` that start at `first`.
pub(crate) fn source(row: &Row<'_>, seq: i64, first: usize) -> Result<Source, Fault> {
    Ok(Source {
        client: name(row, seq, first, "client", ClientName::parse)?,
        token: name(row, seq, first + 1, "token", TokenName::parse)?,
    })
}

/// Where a memory comes from, from the columns `speaker, session, occurred_at_us` that start at `first`.
pub(crate) fn origin(row: &Row<'_>, seq: i64, first: usize) -> Result<Origin, Fault> {
    let occurred_at: Option<i64> = row.get(first + 2)?;
    Ok(Origin {
        speaker: name(row, seq, first, "speaker", Speaker::parse)?,
        session: name(row, seq, first + 1, "session", SessionName::parse)?,
        occurred_at: occurred_at.map(Timestamp::from_micros),
    })
}

fn tags(connection: &Connection, seq: i64) -> Result<Tags, Fault> {
    let sql = "SELECT tag FROM tags WHERE memory = ?1 ORDER BY position";
    let mut statement = connection.prepare_cached(sql)?;
    let tags = statement.query_map([seq], |row| row.get::<_, String>(0))?;
    let tags = tags.collect::<Result<Vec<_>, _>>()?;
    Tags::parse(&tags)
        .map_err(|_| Fault::corrupt(format!("the tags of memory row {seq} are not valid")))
}

/// An id from its column.
pub(crate) fn memory_id(column: i64) -> Result<MemoryId, Fault> {
    let id = u64::try_from(column).ok().and_then(MemoryId::new);
    id.ok_or_else(|| Fault::corrupt(format!("a memory has id {column}")))
}

/// The column of an id.
pub(crate) fn id_column(id: MemoryId) -> i64 {
    i64::try_from(id.digits()).expect("a MemoryId is at most i64::MAX")
}

/// The column of a request key: 16 bytes, big-endian.
pub(crate) const fn key_column(key: RequestKey) -> [u8; 16] {
    key.0.to_be_bytes()
}

/// A model from the columns `name, sha256, dimensions` that start at `first`.
pub(crate) fn model(row: &Row<'_>, first: usize) -> Result<ModelStamp, rusqlite::Error> {
    Ok(ModelStamp {
        name: row.get(first)?,
        sha256: row.get(first + 1)?,
        dimensions: row.get(first + 2)?,
    })
}

/// A passage's place from the columns `start_byte, end_byte` that start at `first`.
pub(crate) fn span(row: &Row<'_>, first: usize) -> Result<PassageSpan, rusqlite::Error> {
    Ok(PassageSpan(row.get(first)?..row.get(first + 1)?))
}

/// The column of a number that counts things in memory.
pub(crate) fn count_column(count: usize) -> i64 {
    i64::try_from(count).expect("nothing in memory has 2^63 elements")
}

/// A vector's column: its components as 32-bit floats, little-endian, `4 * dimensions` bytes.
pub(crate) fn encode_vector(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Appends the vector in `column` to `vectors`. `None`, with `vectors` as before, unless it has
/// exactly `dimensions` components and length 1 (within 1e-3).
pub(crate) fn decode_vector(
    column: &[u8],
    dimensions: usize,
    vectors: &mut Vec<f32>,
) -> Option<()> {
    let (components, []) = column.as_chunks::<4>() else {
        return None;
    };
    if components.len() != dimensions {
        return None;
    }
    let start = vectors.len();
    vectors.extend(components.iter().map(|bytes| f32::from_le_bytes(*bytes)));
    let added = &vectors[start..];
    let length = venom_core::embedding::dot(added, added).sqrt();
    // Written so that NaN fails.
    if (length - 1.0).abs() < 1e-3 {
        return Some(());
    }
    vectors.truncate(start);
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use venom_core::Embedding;

    proptest! {
        #[test]
        fn vectors_survive_the_file(raw in prop::collection::vec(-1e3_f32..1e3, 1..600)) {
            if let Some(unit) = Embedding::normalize(raw) {
                let column = encode_vector(unit.as_slice());
                prop_assert_eq!(column.len(), 4 * unit.dimensions());
                let mut vectors = vec![7.0];
                decode_vector(&column, unit.dimensions(), &mut vectors).unwrap();
                prop_assert_eq!(&vectors[1..], unit.as_slice());
            }
        }

        #[test]
        fn strange_bytes_are_no_vector(column in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut vectors = Vec::new();
            let decoded = decode_vector(&column, 3, &mut vectors);
            prop_assert_eq!(vectors.len(), if decoded.is_some() { 3 } else { 0 });
        }
    }

    #[test]
    fn the_bytes_are_little_endian_on_every_machine() {
        assert_eq!(
            encode_vector(&[1.0, -2.0]),
            [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]
        );
        let nan = encode_vector(&[f32::NAN, 0.0]);
        assert_eq!(decode_vector(&nan, 2, &mut Vec::new()), None);
    }
}
