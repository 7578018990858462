//! Stored text as it may be shown to a model or a terminal: nothing in it that a reader cannot see.
//!
//! The original stays in the store, and is what is searched. What is shown differs in this:
//!
//! | class | what becomes of it |
//! |---|---|
//! | control characters but line feed and tab; a carriage return before a line feed | made visible; removed |
//! | embeddings, overrides and isolates of text direction | made visible |
//! | tag characters outside the flags of England, Scotland and Wales | made visible |
//! | line and paragraph separators, interlinear annotation, shorthand and musical controls | made visible |
//! | private use, noncharacters, the rest of plane 14 | made visible |
//! | zero-width characters, joiners out of place, soft hyphens, fillers, marks of direction | removed, made visible from four in a row |
//! | variation selectors out of place | removed, made visible from two in a row |
//!
//! Kept is what text needs: joiners within emoji and in scripts that are written with them, selectors of text or
//! emoji style after what has both, Mongolian selectors after Mongolian letters.
//!
//! Made visible, a character is `⟨U+202E⟩`; several in a row are `⟨U+E0041…×12⟩`, the first and how many there are.
//! Ranges are those of Unicode 16.

mod classes;

use classes::{Class, class, is_emoji, is_skin_tone, joining_script, takes_style};
use std::borrow::Cow;
use std::fmt::Write as _;

/// So many characters that are only noise, in a row, are no accident.
const NOISE_MIN: usize = 4;
/// So many selectors in a row can carry a text.
const SELECTORS_MIN: usize = 2;
/// Most bytes that a byte of text becomes.
pub const GROWTH_MAX: usize = 12;

/// A text of several lines as it may be shown. Borrows where nothing changes. O(bytes).
pub fn text(text: &str) -> Cow<'_, str> {
    shown(text, false)
}

/// The same of a text that stands in one line, such as a name: line feeds and tabs are made visible, too.
pub fn line(text: &str) -> Cow<'_, str> {
    shown(text, true)
}

/// A text without anything that cannot be seen, as names are kept. O(bytes).
pub fn stripped(text: &str) -> String {
    let mut context = Context::default();
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let taken = context.take(c, rest, true);
        match taken {
            Taken::Kept(bytes) => kept.push_str(&rest[..bytes]),
            Taken::Hidden(_) => context = Context::default(),
        }
        rest = &rest[taken.bytes(c)..];
    }
    kept
}

fn shown(text: &str, one_line: bool) -> Cow<'_, str> {
    let mut output: Option<String> = None;
    let mut context = Context::default();
    let mut run = Run::default();
    // Where what is not yet copied begins, and where we are.
    let (mut copied, mut at) = (0, 0);
    while let Some(c) = text[at..].chars().next() {
        let taken = context.take(c, &text[at..], one_line);
        match taken {
            Taken::Kept(_) if !run.is_open => {}
            Taken::Kept(_) => {
                run.write(output.get_or_insert_default());
                run = Run::default();
                copied = at;
            }
            Taken::Hidden(class) => {
                if !run.is_open {
                    let output = output.get_or_insert_with(|| String::with_capacity(text.len()));
                    output.push_str(&text[copied..at]);
                }
                run.add(c, class);
                context = Context::default();
            }
        }
        at += taken.bytes(c);
    }
    match output {
        None => Cow::Borrowed(text),
        Some(mut output) if run.is_open => {
            run.write(&mut output);
            Cow::Owned(output)
        }
        Some(mut output) => {
            output.push_str(&text[copied..]);
            Cow::Owned(output)
        }
    }
}

/// Hidden characters in a row.
#[derive(Debug, Default)]
struct Run {
    is_open: bool,
    first: char,
    count: usize,
    selectors: usize,
    is_shown: bool,
}

impl Run {
    fn add(&mut self, c: char, class: Class) {
        self.is_open = true;
        if class == Class::LineEnd {
            return;
        }
        if self.count == 0 {
            self.first = c;
        }
        self.count += 1;
        self.selectors += usize::from(class == Class::Selector);
        self.is_shown |=
            class == Class::Shown || self.selectors >= SELECTORS_MIN || self.count >= NOISE_MIN;
    }

    fn write(&self, output: &mut String) {
        if !self.is_shown {
            return;
        }
        let first = u32::from(self.first);
        // Writing to a string cannot fail.
        let _ = match self.count {
            1 => write!(output, "⟨U+{first:04X}⟩"),
            count => write!(output, "⟨U+{first:04X}…×{count}⟩"),
        };
    }
}

/// What becomes of the character at the start of a text.
#[derive(Clone, Copy, Debug)]
enum Taken {
    /// It is kept, with what follows it in so many bytes.
    Kept(usize),
    Hidden(Class),
}

impl Taken {
    fn bytes(self, c: char) -> usize {
        match self {
            Self::Kept(bytes) => bytes,
            Self::Hidden(_) => c.len_utf8(),
        }
    }
}

/// What was kept just before, as far as it decides about what follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Context {
    #[default]
    Other,
    /// An emoji, whole but for a style: both may follow.
    Emoji,
    /// An emoji with its style or skin tone: only a joiner may follow.
    StyledEmoji,
    /// A character that is no emoji by itself, but has a style: the keys `#`, `*` and digits.
    Key,
    /// A letter or mark of a script that is written with joiners.
    Letter(u32),
}

impl Context {
    /// Decides about `c`, with which `rest` starts, and becomes the context of what follows.
    fn take(&mut self, c: char, rest: &str, one_line: bool) -> Taken {
        let class = match c {
            '\n' | '\t' if !one_line => Class::Plain,
            // The end of a line as some systems write it.
            '\r' if !one_line && rest[1..].starts_with('\n') => Class::LineEnd,
            ' '..='~' => Class::Plain,
            c => class(c),
        };
        let next = || rest[c.len_utf8()..].chars().next();
        let is_kept = match class {
            Class::Plain => true,
            Class::Joiner => self.joins(c, next()),
            Class::Selector => match c {
                '\u{FE0E}' | '\u{FE0F}' => matches!(self, Self::Emoji | Self::Key),
                '\u{180B}'..='\u{180F}' => *self == Self::Letter(classes::MONGOLIAN),
                _ => false,
            },
            Class::LineEnd | Class::Noise | Class::Shown => false,
        };
        if !is_kept {
            return Taken::Hidden(class);
        }
        let flag = if c == '\u{1F3F4}' {
            flag_bytes(rest)
        } else {
            0
        };
        *self = match c {
            '\u{FE0E}' | '\u{FE0F}' if *self == Self::Emoji => Self::StyledEmoji,
            _ if flag > 0 => Self::StyledEmoji,
            c if is_skin_tone(c) => Self::StyledEmoji,
            c if is_emoji(c) => Self::Emoji,
            c if takes_style(c) => Self::Key,
            c if class == Class::Plain => joining_script(c).map_or(Self::Other, Self::Letter),
            _ => Self::Other,
        };
        Taken::Kept(flag.max(c.len_utf8()))
    }

    /// Whether a joiner has something to do between what was kept and what is next.
    fn joins(self, joiner: char, next: Option<char>) -> bool {
        match self {
            Self::Emoji | Self::StyledEmoji => joiner == '\u{200D}' && next.is_some_and(is_emoji),
            Self::Letter(script) => match next {
                Some(next)
                    if class(next) == Class::Plain && joining_script(next) == Some(script) =>
                {
                    true
                }
                // At the end of a word it keeps the letter in the form it has before another.
                Some('\n' | '\t') | None => joiner == '\u{200D}',
                Some(next) => joiner == '\u{200D}' && class(next) == Class::Plain,
            },
            Self::Other | Self::Key => false,
        }
    }
}

/// How long the flag of a region is that a text starts with; 0 if it starts with none that is in use.
fn flag_bytes(text: &str) -> usize {
    const REGIONS: [&str; 3] = ["gbeng", "gbsct", "gbwls"];
    let spelt = |region: &str| {
        let letters = region
            .chars()
            .filter_map(|c| char::from_u32(0xE_0000 + u32::from(c)));
        letters.chain(['\u{E007F}']).collect::<String>()
    };
    let flag = '\u{1F3F4}'.len_utf8();
    let tags = &text[flag..];
    if !tags.starts_with('\u{E0067}') {
        return 0;
    }
    let found = REGIONS
        .iter()
        .map(|region| spelt(region))
        .find(|spelt| tags.starts_with(spelt));
    found.map_or(0, |spelt| flag + spelt.len())
}

#[cfg(test)]
mod tests;
