//! What is done about a new text before it is kept: the owner's rules, and what they say of one call.

use crate::secrets::SecretPolicy;
use crate::source::Source;

/// The rules of one process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What becomes of texts that hold secrets.
    pub secrets: SecretPolicy,
    /// Whose memories wait for the owner.
    pub quarantine: Quarantine,
}

impl Rules {
    /// What they say of a text from there.
    pub fn precautions(&self, source: &Source) -> Precautions {
        Precautions {
            secrets: self.secrets,
            quarantine: self.quarantine.takes(source),
        }
    }
}

/// What is done about the texts of one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Precautions {
    /// What becomes of a text that holds a secret.
    pub secrets: SecretPolicy,
    /// Whether it is not recalled until the owner releases it.
    pub quarantine: bool,
}

impl Precautions {
    /// No precautions at all.
    pub const NONE: Self = Self {
        secrets: SecretPolicy::Keep,
        quarantine: false,
    };

    /// The stricter of two in each respect: of the process that was called and the one that keeps.
    #[must_use]
    pub fn or_stricter(self, other: Self) -> Self {
        Self {
            secrets: self.secrets.max(other.secrets),
            quarantine: self.quarantine || other.quarantine,
        }
    }
}

/// Clients whose memories are kept but not recalled until the owner releases them.
///
/// A client says its own name, so patterns sort honest clients only; `*` takes all that come through a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quarantine {
    /// In lower case, none empty.
    patterns: Vec<String>,
}

impl Quarantine {
    /// Reads patterns, separated by commas: `*`, or a part of a client's name.
    pub fn parse(text: &str) -> Self {
        let patterns = text.split(',').map(str::trim);
        let patterns = patterns.filter(|pattern| !pattern.is_empty());
        Self {
            patterns: patterns.map(str::to_lowercase).collect(),
        }
    }

    /// Whether what comes from there waits. The one place where this is decided.
    pub fn takes(&self, source: &Source) -> bool {
        let client = source.client.as_ref();
        let client = client.map_or_else(String::new, |name| name.as_str().to_lowercase());
        let is_command_line = source.is_command_line();
        self.patterns.iter().any(|pattern| match pattern.as_str() {
            "*" => !is_command_line,
            part => client.contains(part),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ClientName;

    #[track_caller]
    fn check(patterns: &str, client: Option<&str>, expected: bool) {
        let source = Source {
            client: client.map(|name| ClientName::parse(name).unwrap()),
            token: None,
        };
        let takes = Quarantine::parse(patterns).takes(&source);
        assert_eq!(takes, expected, "{patterns:?} {client:?}");
    }

    #[test]
    fn patterns_are_parts_of_names() {
        check("", Some("claude-ai"), false);
        check("", None, false);
        check("claude", Some("Claude Code"), true);
        check("browser, CLAUDE ,", Some("claude-ai"), true);
        check("browser", Some("claude-ai"), false);
        check("browser", None, false);
    }

    #[test]
    fn a_star_takes_all_but_the_command_line() {
        check("*", Some("claude-ai"), true);
        check("*", None, true);
        check("*", Some("venom cli"), false);
        check("venom cli", Some("venom cli"), true);
    }

    #[test]
    fn of_two_the_stricter_counts() {
        let strict = Precautions {
            secrets: SecretPolicy::Mask,
            quarantine: true,
        };
        assert_eq!(Precautions::NONE.or_stricter(strict), strict);
        assert_eq!(strict.or_stricter(Precautions::NONE), strict);
        let refusing = Rules::default().precautions(&Source::default());
        assert_eq!(strict.or_stricter(refusing).secrets, SecretPolicy::Refuse);
    }
}
