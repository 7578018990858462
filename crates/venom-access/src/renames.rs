//! Rights follow a space to its new name. The space has its name in another file, so this is done in two steps around
//! it: the new name is added before, the old one is taken away after. In between nobody may do more than before, since
//! no space has the other name.

use crate::rights::{Rights, Spaces};
use crate::{Access, AccessError};
use rusqlite::{Transaction, params};
use venom_core::SpaceName;

/// The tables whose rows are bound to spaces, each with its key.
const BOUND: [(&str, &str); 3] = [("tokens", "token"), ("grants", "id"), ("codes", "rowid")];

/// What got a new name in addition: tables and keys, to take it back.
#[derive(Debug, Default)]
pub struct Widened(Vec<(usize, i64)>);

impl Access {
    /// Lets everything that is bound to the space `from` reach `to`, too.
    ///
    /// # Errors
    /// [`AccessError::Failed`]; then nothing is changed.
    pub fn widen(&self, from: &SpaceName, to: &SpaceName) -> Result<Widened, AccessError> {
        self.write(|transaction| {
            let mut widened = Widened::default();
            rebind(transaction, |place, spaces| {
                if !spaces.contains(from) || spaces.contains(to) {
                    return false;
                }
                spaces.push(to.clone());
                widened.0.push(place);
                true
            })?;
            Ok(widened)
        })
    }

    /// Takes a name away from all that got it by [`Self::widen`], as the space did not get it.
    ///
    /// # Errors
    /// [`AccessError::Failed`]; then nothing is changed.
    pub fn narrow(&self, widened: &Widened, to: &SpaceName) -> Result<(), AccessError> {
        self.write(|transaction| {
            rebind(transaction, |place, spaces| {
                let goes = widened.0.contains(&place) && spaces.contains(to);
                if goes {
                    spaces.retain(|name| name != to);
                }
                goes
            })
        })
    }

    /// Takes the name `from` away from all that may reach `to`, as the space has that name now.
    ///
    /// # Errors
    /// [`AccessError::Failed`]; then nothing is changed.
    pub fn settle_rename(&self, from: &SpaceName, to: &SpaceName) -> Result<(), AccessError> {
        self.write(|transaction| {
            rebind(transaction, |_, spaces| {
                let goes = spaces.contains(from) && spaces.contains(to) && from != to;
                if goes {
                    spaces.retain(|name| name != from);
                }
                goes
            })
        })
    }
}

/// Offers each list of spaces to `change`, and writes those that it says it changed. What reaches every space is left
/// alone.
fn rebind(
    transaction: &Transaction<'_>,
    mut change: impl FnMut((usize, i64), &mut Vec<SpaceName>) -> bool,
) -> Result<(), AccessError> {
    for (number, (table, key)) in BOUND.into_iter().enumerate() {
        let select = format!("SELECT {key}, spaces FROM {table} WHERE spaces IS NOT NULL");
        let mut statement = transaction.prepare(&select)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows: Vec<(i64, String)> = rows.collect::<Result<_, _>>()?;
        for (row, column) in rows {
            let mut rights = Rights::from_columns(Some(&column), false);
            let Spaces::Only(spaces) = &mut rights.spaces else {
                continue;
            };
            if change((number, row), spaces) {
                spaces.sort_unstable();
                let update = format!("UPDATE {table} SET spaces = ?2 WHERE {key} = ?1");
                transaction.execute(&update, params![row, rights.spaces_column()])?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NewToken;
    use crate::database::tests::{at, fresh};

    fn space(name: &str) -> SpaceName {
        SpaceName::parse(name).unwrap()
    }

    fn bound(access: &Access) -> Vec<(String, String)> {
        let tokens = access.tokens().unwrap().into_iter();
        tokens
            .map(|token| (token.name, token.rights.spaces_named()))
            .collect()
    }

    fn named(expected: [(&str, &str); 4]) -> Vec<(String, String)> {
        let owned = |(name, spaces): (&str, &str)| (name.to_owned(), spaces.to_owned());
        expected.map(owned).to_vec()
    }

    #[test]
    fn rights_follow_a_space_and_only_it() {
        let fresh = fresh();
        let access = &fresh.access;
        for (name, spaces) in [
            ("all", ""),
            ("both", "new,old"),
            ("one", "old"),
            ("other", "x"),
        ] {
            let names = spaces.split(',').filter(|name| !name.is_empty());
            let new = NewToken {
                name: name.to_owned(),
                rights: Rights::within(names.map(space).collect(), true).unwrap(),
                expires: None,
            };
            access.create_token(&new, at(0), "test").unwrap();
        }
        let before = bound(access);
        let (old, new) = (space("old"), space("new"));
        let widened = access.widen(&old, &new).unwrap();
        let both = [
            ("all", "all spaces"),
            ("both", "new, old"),
            ("one", "new, old"),
            ("other", "x"),
        ];
        assert_eq!(bound(access), named(both));
        access.narrow(&widened, &new).unwrap();
        assert_eq!(bound(access), before);
        access.widen(&old, &new).unwrap();
        access.widen(&old, &new).unwrap();
        for _ in 0..2 {
            access.settle_rename(&old, &new).unwrap();
            let after = [
                ("all", "all spaces"),
                ("both", "new"),
                ("one", "new"),
                ("other", "x"),
            ];
            assert_eq!(bound(access), named(after), "it may be repeated");
        }
    }
}
