//! Writing a file of a sealed section.

use super::dictionary;
use super::layout::{self, About, Covered, Header, Part};
use super::{NONE, varint};
use crate::pages::PageWriter;
use std::io;
use venom_core::recall::BuiltSection;

/// What the database knows of the memories of a section besides their words; by slot.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    /// Rows of the database, increasing.
    pub(crate) rows: Vec<i64>,
    pub(crate) ids: Vec<u64>,
    /// When each happened, in microseconds.
    pub(crate) moments: Vec<i64>,
    /// How many vectors each has.
    pub(crate) vectors: Vec<u32>,
}

/// Writes a file; it is in its place when it is whole.
///
/// # Errors
/// If it cannot be written.
///
/// # Panics
/// If a row is not among those covered.
pub(crate) fn write(
    pages: PageWriter,
    about: &About,
    covered: Covered,
    section: &BuiltSection,
    columns: &Columns,
) -> io::Result<()> {
    let mut writer = Writer {
        pages,
        parts: [(0, 0); Part::COUNT],
    };
    let (mut lists, mut ends) = (Vec::new(), vec![0]);
    for list in &section.lists {
        for term in list {
            varint::put(&mut lists, u64::from(*term));
        }
        ends.push(lists.len() as u64);
    }
    writer.part(Part::Lists, &lists)?;
    writer.part(
        Part::ListEnds,
        &ends
            .into_iter()
            .flat_map(u64::to_le_bytes)
            .collect::<Vec<_>>(),
    )?;
    drop(lists);
    let (mut postings, mut terms) = (Vec::new(), Vec::new());
    for (name, of_term) in section.terms.iter().zip(&section.postings) {
        let (start, mut last) = (postings.len(), 0);
        for (slot, count) in of_term {
            varint::put(&mut postings, u64::from(slot - last));
            varint::put(&mut postings, u64::from(*count));
            last = *slot;
        }
        let memories = u32::try_from(of_term.len()).unwrap_or(u32::MAX);
        dictionary::encode(&mut terms, name, memories, postings.len() - start);
    }
    writer.part(Part::Postings, &postings)?;
    writer.part(Part::Terms, &terms)?;
    let words = section.words.iter().map(|(word, count)| (&**word, *count));
    writer.part(Part::Words, &layout::encode_names(words))?;
    writer.part(Part::Facts, &layout::encode_facts(&section.facts))?;
    let rows = columns.rows.iter().map(|row| {
        let from_first = covered.has(*row).then(|| row - covered.first);
        let from_first = from_first.and_then(|row| u32::try_from(row).ok());
        from_first.expect("rows are among those covered, fewer than 2^32")
    });
    let rows = if covered.rows() == Some(columns.rows.len()) {
        Vec::new()
    } else {
        layout::encode_u32(rows)
    };
    writer.part(Part::Rows, &rows)?;
    let mut starts = vec![0];
    if columns.vectors.iter().any(|count| *count != 1) {
        let counts = columns.vectors.iter();
        starts.extend(counts.scan(0, |end, count| {
            *end += count;
            Some(*end)
        }));
    } else {
        starts.clear();
    }
    writer.part(Part::Vectors, &layout::encode_u32(starts.into_iter()))?;
    let ids: Vec<u8> = columns.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    writer.part(Part::Ids, &ids)?;
    let moments: Vec<u8> = columns
        .moments
        .iter()
        .flat_map(|moment| moment.to_le_bytes())
        .collect();
    writer.part(Part::Moments, &moments)?;
    for (part, column) in [
        (Part::SpeakerOf, &section.speaker_of),
        (Part::SessionOf, &section.session_of),
    ] {
        let column = column.iter().map(|place| place.unwrap_or(NONE));
        writer.part(part, &layout::encode_u32(column))?;
    }
    let mut said = vec![0; section.speakers.len()];
    for speaker in section.speaker_of.iter().flatten() {
        said[*speaker as usize] += 1;
    }
    let speakers = section
        .speakers
        .iter()
        .zip(said)
        .map(|(name, count)| (&**name, count));
    writer.part(Part::Speakers, &layout::encode_names(speakers))?;
    let sessions = section.sessions.iter().map(|name| (&**name, 0));
    writer.part(Part::Sessions, &layout::encode_names(sessions))?;
    writer.part(Part::TextWords, &layout::encode_counts(&section.text_words))?;
    let header = Header {
        about: about.clone(),
        covered,
        memories: section.facts.len(),
        terms: section.lists.iter().map(|list| list.len() as u64).sum(),
        parts: writer.parts,
    };
    writer.pages.align()?;
    writer.pages.write(&header.encode())?;
    writer.pages.finish()
}

struct Writer {
    pages: PageWriter,
    parts: [(u64, u64); Part::COUNT],
}

impl Writer {
    fn part(&mut self, part: Part, bytes: &[u8]) -> io::Result<()> {
        self.pages.align()?;
        self.parts[part as usize] = (self.pages.position(), bytes.len() as u64);
        self.pages.write(bytes)
    }
}
