//! What a caller may do: the spaces it may touch, and whether it may write.

use crate::AccessError;
use venom_core::SpaceName;

/// Most spaces that a token or grant can be bound to.
pub const SPACES_MAX: usize = 16;

/// The spaces a caller may touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spaces {
    /// Every space, also those that are made later.
    All,
    /// These, at least one.
    Only(Vec<SpaceName>),
}

/// What a caller may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Where.
    pub spaces: Spaces,
    /// Whether it may store, change and forget, besides searching.
    pub write: bool,
}

impl Rights {
    /// Everything.
    pub const ALL: Self = Self {
        spaces: Spaces::All,
        write: true,
    };

    /// Rights in these spaces, or in all if none is named.
    ///
    /// # Errors
    /// [`AccessError::Invalid`] for more than [`SPACES_MAX`] spaces.
    pub fn within(mut spaces: Vec<SpaceName>, write: bool) -> Result<Self, AccessError> {
        spaces.sort_unstable();
        spaces.dedup();
        if spaces.len() > SPACES_MAX {
            return Err(AccessError::Invalid(format!(
                "too many spaces: expected at most {SPACES_MAX}, received {}",
                spaces.len()
            )));
        }
        let spaces = if spaces.is_empty() {
            Spaces::All
        } else {
            Spaces::Only(spaces)
        };
        Ok(Self { spaces, write })
    }

    /// Whether a space may be touched.
    pub fn reach(&self, space: &SpaceName) -> bool {
        match &self.spaces {
            Spaces::All => true,
            Spaces::Only(spaces) => spaces.contains(space),
        }
    }

    /// The space of a call that names none: the usual one if it may be touched, else the first that may.
    pub fn default_space<'a>(&'a self, usual: &'a SpaceName) -> &'a SpaceName {
        match &self.spaces {
            Spaces::Only(spaces) if !spaces.contains(usual) => spaces.first().unwrap_or(usual),
            _ => usual,
        }
    }

    /// As an OAuth scope: `read` or `read write`.
    pub const fn scope(&self) -> &'static str {
        if self.write { "read write" } else { "read" }
    }

    /// The spaces for people: their names, or `all spaces`.
    pub fn spaces_named(&self) -> String {
        match &self.spaces {
            Spaces::All => "all spaces".to_owned(),
            Spaces::Only(spaces) => {
                let names: Vec<_> = spaces.iter().map(SpaceName::as_str).collect();
                names.join(", ")
            }
        }
    }

    /// As a column: one name a line, nothing for all. Names have no control characters.
    pub(crate) fn spaces_column(&self) -> Option<String> {
        match &self.spaces {
            Spaces::All => None,
            Spaces::Only(spaces) => {
                let names: Vec<_> = spaces.iter().map(SpaceName::as_str).collect();
                Some(names.join("\n"))
            }
        }
    }

    /// Back from the columns. What cannot be read gives no right to anything.
    pub(crate) fn from_columns(spaces: Option<&str>, write: bool) -> Self {
        let spaces = match spaces {
            None => Spaces::All,
            Some(text) => Spaces::Only(
                text.lines()
                    .filter_map(|name| SpaceName::parse(name).ok())
                    .collect(),
            ),
        };
        Self { spaces, write }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space(name: &str) -> SpaceName {
        SpaceName::parse(name).unwrap()
    }

    #[test]
    fn rights_reach_their_spaces_only() {
        let work =
            Rights::within(vec![space("work"), space("home"), space("work")], false).unwrap();
        assert!(work.reach(&space("work")) && !work.reach(&space("diary")));
        assert_eq!(work.default_space(&space("diary")), &space("home"));
        assert_eq!(work.default_space(&space("work")), &space("work"));
        assert_eq!(Rights::ALL.default_space(&space("diary")), &space("diary"));
        assert!(Rights::ALL.reach(&space("diary")));
        assert_eq!((work.scope(), Rights::ALL.scope()), ("read", "read write"));
    }

    #[test]
    fn columns_bring_rights_back_and_nonsense_gives_none() {
        for rights in [
            Rights::ALL,
            Rights::within(vec![space("a b"), space("c")], true).unwrap(),
        ] {
            let column = rights.spaces_column();
            assert_eq!(Rights::from_columns(column.as_deref(), true), rights);
        }
        let broken = Rights::from_columns(Some(""), true);
        assert!(!broken.reach(&space("venom_memories")));
    }
}
