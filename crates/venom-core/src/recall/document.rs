//! What the recipe knows of a memory: everything that can be told when it is stored.

use super::analysis;
use super::time_words::tells_time;
use crate::memory::{Content, Origin, Speaker};
use crate::time::Timestamp;
use std::borrow::Cow;

/// A memory as the recipe sees it. Made once, when the memory is stored or read back.
#[derive(Clone, Debug)]
pub struct Document {
    /// Words of date, speaker and text, in order.
    pub(super) words: Vec<String>,
    /// Words of the text alone, as people count them: between white space.
    pub(super) text_words: u32,
    /// Share of the text, by characters, that is not in sentences that ask; 1 without any.
    pub(super) statement: f32,
    /// Whether the text has an expression of time, such as `yesterday` or `2026`.
    pub(super) tells_time: bool,
    /// Whether it was said by the user, as a role.
    pub(super) by_user: bool,
}

impl Document {
    /// What the recipe needs to know of a memory. O(text).
    pub fn new(origin: &Origin, content: &Content) -> Self {
        let text = content.as_str();
        let mut words = Vec::new();
        if let Some(day) = origin.occurred_at.and_then(Timestamp::day) {
            words.extend(analysis::words(&day));
        }
        let speaker = origin.speaker.as_ref();
        if let Some(name) = speaker.filter(|speaker| !speaker.is_role()) {
            words.extend(analysis::words(name.as_str()));
        }
        let text_words = analysis::words(text);
        let said = without_notes(text);
        let tells_time = match &said {
            Cow::Borrowed(_) => tells_time(&text_words),
            Cow::Owned(said) => tells_time(&analysis::words(said)),
        };
        words.extend(text_words);
        Self {
            words,
            text_words: u32::try_from(said.split_whitespace().count()).unwrap_or(u32::MAX),
            statement: statement_share(&said),
            tells_time,
            by_user: speaker.is_some_and(Speaker::is_user),
        }
    }
}

/// A text without what stands in square brackets: a note on what was said, such as `[laughs]` or what a
/// picture shows, is neither a statement nor a question.
fn without_notes(text: &str) -> Cow<'_, str> {
    let (Some(_), Some(_)) = (text.find('['), text.rfind(']')) else {
        return Cow::Borrowed(text);
    };
    let mut depth = 0_usize;
    let said = text.chars().filter(|c| {
        let before = depth;
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        before == 0 && depth == 0
    });
    Cow::Owned(said.collect())
}

/// Share of a text, by characters, that is not in sentences that end with a question mark.
fn statement_share(text: &str) -> f32 {
    if !text.contains('?') {
        return 1.0;
    }
    let (mut all, mut asking) = (0_usize, 0_usize);
    for sentence in sentences(text) {
        let chars = sentence.chars().count();
        all += chars;
        if sentence.ends_with('?') {
            asking += chars;
        }
    }
    1.0 - asking as f32 / all.max(1) as f32
}

/// A text cut at white space after `.`, `!` or `?`.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text.trim_start();
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let ends = rest.char_indices().zip(rest.chars().skip(1));
        let mut ends =
            ends.filter(|((_, c), next)| matches!(c, '.' | '!' | '?') && next.is_whitespace());
        let end = ends
            .next()
            .map_or(rest.len(), |((at, c), _)| at + c.len_utf8());
        let (sentence, tail) = rest.split_at(end);
        rest = tail.trim_start();
        Some(sentence)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_told_from_statements() {
        let share = |text: &str| format!("{:.2}", statement_share(text));
        assert_eq!(share("Is it late?"), "0.00");
        assert_eq!(share("It is."), "1.00");
        assert_eq!(share("Yes it is. Is it?? Go!"), "0.65");
        assert_eq!(share(""), "1.00");
        assert_eq!(
            without_notes("Like it? [a photo [of a] dog] Yes"),
            "Like it?  Yes"
        );
        assert_eq!(without_notes("plain]"), "plain]");
        let cut: Vec<&str> = sentences(" One. Two?\n\nThree 3.5 ").collect();
        assert_eq!(cut, ["One.", "Two?", "Three 3.5 "]);
    }
}
