//! Which characters cannot be seen, and which of them text needs where. Ranges of Unicode 16.

/// The Mongolian script, whose letters have selectors of their own.
pub(super) const MONGOLIAN: u32 = 2;

/// What a character is to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// It is seen, or it is white space.
    Plain,
    /// Joins or parts what stands beside it.
    Joiner,
    /// Chooses a form of what stands before it.
    Selector,
    /// A carriage return that ends a line together with the line feed after it.
    LineEnd,
    /// Not seen, and of no weight.
    Noise,
    /// Not seen, and able to deceive.
    Shown,
}

/// The class of a character, line feed and tab included.
pub(super) const fn class(c: char) -> Class {
    match c {
        '\0'..='\u{1F}'
        | '\u{7F}'..='\u{9F}'
        // Separators of lines and paragraphs; embeddings, overrides and isolates.
        | '\u{2028}'..='\u{202E}'
        | '\u{2066}'..='\u{2069}'
        | '\u{FFF0}'..='\u{FFFB}'
        // Private use.
        | '\u{E000}'..='\u{F8FF}'
        | '\u{F0000}'..='\u{10FFFF}'
        // Noncharacters; those at the ends of planes 15 and 16 are above.
        | '\u{FDD0}'..='\u{FDEF}'
        | '\u{FFFE}'..='\u{FFFF}'
        | '\u{1FFFE}'..='\u{1FFFF}'
        | '\u{2FFFE}'..='\u{2FFFF}'
        | '\u{3FFFE}'..='\u{3FFFF}'
        | '\u{4FFFE}'..='\u{4FFFF}'
        | '\u{5FFFE}'..='\u{5FFFF}'
        | '\u{6FFFE}'..='\u{6FFFF}'
        | '\u{7FFFE}'..='\u{7FFFF}'
        | '\u{8FFFE}'..='\u{8FFFF}'
        | '\u{9FFFE}'..='\u{9FFFF}'
        | '\u{AFFFE}'..='\u{AFFFF}'
        | '\u{BFFFE}'..='\u{BFFFF}'
        | '\u{CFFFE}'..='\u{CFFFF}'
        | '\u{DFFFE}'..='\u{DFFFF}'
        // Controls of shorthand and of music.
        | '\u{1BCA0}'..='\u{1BCA3}'
        | '\u{1D173}'..='\u{1D17A}'
        // Tags, and what is not seen of plane 14 by definition, but for selectors.
        | '\u{E0000}'..='\u{E00FF}'
        | '\u{E01F0}'..='\u{EFFFF}' => Class::Shown,
        '\u{200C}' | '\u{200D}' => Class::Joiner,
        '\u{FE00}'..='\u{FE0F}' | '\u{180B}'..='\u{180D}' | '\u{180F}'
        | '\u{E0100}'..='\u{E01EF}' => Class::Selector,
        // Soft hyphen, grapheme joiner, Arabic letter mark, Hangul fillers, Khmer vowels that are not seen, Mongolian
        // separator, zero-width space, marks of direction, word joiner and invisible operators, what is deprecated,
        // byte order mark.
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
        | '\u{180E}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{2060}'..='\u{2065}'
        | '\u{206A}'..='\u{206F}' | '\u{3164}' | '\u{FEFF}' | '\u{FFA0}' => Class::Noise,
        _ => Class::Plain,
    }
}

/// Whether a character is an emoji or may be part of a joined one (`Extended_Pictographic`).
pub(super) const fn is_emoji(c: char) -> bool {
    matches!(c,
        '\u{A9}' | '\u{AE}' | '\u{203C}' | '\u{2049}' | '\u{2122}' | '\u{2139}'
        | '\u{2194}'..='\u{2199}' | '\u{21A9}' | '\u{21AA}' | '\u{231A}' | '\u{231B}' | '\u{2328}'
        | '\u{2388}' | '\u{23CF}' | '\u{23E9}'..='\u{23F3}' | '\u{23F8}'..='\u{23FA}' | '\u{24C2}'
        | '\u{25AA}' | '\u{25AB}' | '\u{25B6}' | '\u{25C0}' | '\u{25FB}'..='\u{25FE}'
        | '\u{2600}'..='\u{2767}' | '\u{2795}'..='\u{2797}' | '\u{27A1}' | '\u{27B0}' | '\u{27BF}'
        | '\u{2934}' | '\u{2935}' | '\u{2B05}'..='\u{2B07}' | '\u{2B1B}' | '\u{2B1C}' | '\u{2B50}'
        | '\u{2B55}' | '\u{3030}' | '\u{303D}' | '\u{3297}' | '\u{3299}'
        | '\u{1F000}'..='\u{1F0FF}' | '\u{1F10D}'..='\u{1F10F}' | '\u{1F12F}'
        | '\u{1F16C}'..='\u{1F171}' | '\u{1F17E}' | '\u{1F17F}' | '\u{1F18E}'
        | '\u{1F191}'..='\u{1F19A}' | '\u{1F1AD}'..='\u{1F1E5}' | '\u{1F201}'..='\u{1F20F}'
        | '\u{1F21A}' | '\u{1F22F}' | '\u{1F232}'..='\u{1F23A}' | '\u{1F23C}'..='\u{1F23F}'
        | '\u{1F249}'..='\u{1F3FA}' | '\u{1F400}'..='\u{1F53D}' | '\u{1F546}'..='\u{1F64F}'
        | '\u{1F680}'..='\u{1F6FF}' | '\u{1F774}'..='\u{1F77F}' | '\u{1F7D5}'..='\u{1F7FF}'
        | '\u{1F80C}'..='\u{1F80F}' | '\u{1F848}'..='\u{1F84F}' | '\u{1F85A}'..='\u{1F85F}'
        | '\u{1F888}'..='\u{1F88F}' | '\u{1F8AE}'..='\u{1F8FF}' | '\u{1F90C}'..='\u{1F93A}'
        | '\u{1F93C}'..='\u{1F945}' | '\u{1F947}'..='\u{1FAFF}' | '\u{1FC00}'..='\u{1FFFD}')
}

/// Whether it gives an emoji a colour of skin.
pub(super) const fn is_skin_tone(c: char) -> bool {
    matches!(c, '\u{1F3FB}'..='\u{1F3FF}')
}

/// Whether it is no emoji by itself but has the two styles.
pub(super) const fn takes_style(c: char) -> bool {
    matches!(c, '#' | '*' | '0'..='9')
}

/// The script of a letter or mark, if it is one that is written with joiners.
pub(super) const fn joining_script(c: char) -> Option<u32> {
    match c {
        '\u{600}'..='\u{6FF}'
        | '\u{750}'..='\u{77F}'
        | '\u{870}'..='\u{8FF}'
        | '\u{FB50}'..='\u{FDCF}'
        | '\u{FE70}'..='\u{FEFC}' => Some(0),
        '\u{700}'..='\u{74F}' | '\u{860}'..='\u{86F}' => Some(1),
        '\u{1800}'..='\u{18AF}' => Some(MONGOLIAN),
        '\u{7C0}'..='\u{7FF}' => Some(3),
        // Devanagari to Sinhala, a block of 128 characters each.
        '\u{900}'..='\u{DFF}' => Some(4 + ((c as u32 - 0x900) >> 7)),
        '\u{1000}'..='\u{109F}' | '\u{AA60}'..='\u{AA7F}' | '\u{A9E0}'..='\u{A9FF}' => Some(20),
        '\u{1780}'..='\u{17FF}' => Some(21),
        '\u{F00}'..='\u{FFF}' => Some(22),
        '\u{1B00}'..='\u{1B7F}' => Some(23),
        '\u{A980}'..='\u{A9DF}' => Some(24),
        _ => None,
    }
}
