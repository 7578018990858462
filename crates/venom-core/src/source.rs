//! Through which client, and with which key, a memory came in.

use crate::error::InputError;
use crate::limits;
use crate::visible;

/// The client that the command line counts as. No other client may call itself so.
pub const COMMAND_LINE: &str = "venom cli";

/// What a client calls itself: a claim, not a proof.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientName(String);

impl ClientName {
    /// Parses 1 to [`limits::NAME_CHARS_MAX`] characters, of which none is hidden.
    ///
    /// # Errors
    /// [`InputError::Malformed`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        parse_seen("client", text).map(Self)
    }

    /// The name as far as it can be kept: without what cannot be seen, and cut where it is too long. `None` if
    /// nothing is left, or if it is the name of the command line.
    pub fn told(text: &str) -> Option<Self> {
        let seen = seen_start(text)?;
        (!seen.eq_ignore_ascii_case(COMMAND_LINE)).then_some(Self(seen))
    }

    /// The command line.
    pub fn command_line() -> Self {
        Self(COMMAND_LINE.to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of the token that a caller showed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenName(String);

impl TokenName {
    /// Parses 1 to [`limits::NAME_CHARS_MAX`] characters, of which none is hidden.
    ///
    /// # Errors
    /// [`InputError::Malformed`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        parse_seen("token", text).map(Self)
    }

    /// The name as far as it can be kept, as [`ClientName::told`].
    pub fn told(text: &str) -> Option<Self> {
        seen_start(text).map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where a memory came in, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Source {
    /// The client that stored it.
    pub client: Option<ClientName>,
    /// The token that it showed.
    pub token: Option<TokenName>,
}

impl Source {
    /// The command line.
    pub fn command_line() -> Self {
        Self {
            client: Some(ClientName::command_line()),
            token: None,
        }
    }

    /// Whether it is the command line.
    pub fn is_command_line(&self) -> bool {
        let client = self.client.as_ref().map(ClientName::as_str);
        client == Some(COMMAND_LINE)
    }

    /// Whether nothing is known.
    pub const fn is_unknown(&self) -> bool {
        self.client.is_none() && self.token.is_none()
    }
}

fn parse_seen(field: &'static str, text: &str) -> Result<String, InputError> {
    match seen_start(text) {
        Some(seen) if seen == text => Ok(seen),
        _ => {
            let expected = "1 to 128 characters that can be seen";
            Err(InputError::malformed(field, expected, text))
        }
    }
}

/// The start of what can be seen of a text, as much as a name may have; `None` if that is nothing.
fn seen_start(text: &str) -> Option<String> {
    let stripped = visible::stripped(text);
    let start: String = stripped
        .trim()
        .chars()
        .take(limits::NAME_CHARS_MAX)
        .collect();
    // The cut may part what belonged together.
    let start = visible::stripped(&start);
    let start = start.trim();
    (!start.is_empty()).then(|| start.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_told_name_is_kept_as_far_as_it_can_be_seen() {
        let told = |text: &str| ClientName::told(text).map(|name| name.as_str().to_owned());
        assert_eq!(told(" claude-ai ").as_deref(), Some("claude-ai"));
        assert_eq!(
            told("cla\u{202E}u\u{200B}de\n\u{1B}").as_deref(),
            Some("claude")
        );
        assert_eq!(told(&"x".repeat(500)), Some("x".repeat(128)));
        for nothing in [
            "",
            " \n",
            "\u{200B}\u{E0041}",
            "Venom CLI",
            "venom\u{AD} cli",
        ] {
            assert_eq!(told(nothing), None, "{nothing:?}");
        }
        assert!(Source::command_line().is_command_line());
        assert!(!Source::default().is_command_line() && Source::default().is_unknown());
    }

    #[test]
    fn what_is_kept_must_be_seen() {
        assert!(TokenName::parse("laptop").is_ok());
        assert!(TokenName::parse(&"é".repeat(128)).is_ok());
        for bad in ["", " x", "a\u{202E}b", "a\nb"] {
            assert!(TokenName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(ClientName::parse(&"x".repeat(129)).is_err());
    }

    proptest! {
        #[test]
        fn what_was_told_can_be_read_again(text in "(.|\u{200D}|\u{1F469}|\u{FE0F}| ){0,200}") {
            if let Some(name) = ClientName::told(&text) {
                prop_assert_eq!(ClientName::parse(name.as_str()), Ok(name.clone()));
            }
        }
    }
}
