//! Rights follow a space to its new name. The space has its name in another file and gets the new one first: in between,
//! what is bound to it reaches nothing, and nobody more than before.

use crate::rights::{Rights, Spaces};
use crate::{Access, AccessError};
use rusqlite::{Transaction, params};
use venom_core::SpaceName;

/// The tables whose rows are bound to spaces, each with its key.
const BOUND: [(&str, &str); 3] = [("tokens", "token"), ("grants", "id"), ("codes", "rowid")];

impl Access {
    /// Has everything that is bound to the space `from` reach `to` instead. May be repeated.
    ///
    /// # Errors
    /// [`AccessError::Failed`]; then nothing is changed.
    pub fn follow_rename(&self, from: &SpaceName, to: &SpaceName) -> Result<(), AccessError> {
        self.write(|transaction| {
            rebind(transaction, |spaces| {
                let is_bound = spaces.contains(from) && from != to;
                if is_bound {
                    spaces.retain(|name| name != from && name != to);
                    spaces.push(to.clone());
                }
                is_bound
            })
        })
    }
}

/// Offers each list of spaces to `change`, and writes those that it says it changed. What reaches every space is left
/// alone.
fn rebind(
    transaction: &Transaction<'_>,
    mut change: impl FnMut(&mut Vec<SpaceName>) -> bool,
) -> Result<(), AccessError> {
    for (table, key) in BOUND {
        let select = format!("SELECT {key}, spaces FROM {table} WHERE spaces IS NOT NULL");
        let mut statement = transaction.prepare(&select)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows: Vec<(i64, String)> = rows.collect::<Result<_, _>>()?;
        for (row, column) in rows {
            let mut rights = Rights::from_columns(Some(&column), false);
            let Spaces::Only(spaces) = &mut rights.spaces else {
                continue;
            };
            if change(spaces) {
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
        let (old, new) = (space("old"), space("new"));
        for _ in 0..2 {
            access.follow_rename(&old, &new).unwrap();
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
