//! Which collections are read, and which space each goes into.
//!
//! The predecessor's is in the default database of the default tenant. A collection goes into the space of its name; one
//! of another database, and one whose name no space can have, into a space of its own whose name tells where it is from.

use super::{ID_BYTES_MAX, text_of};
use crate::{Options, Skipped, Watch};
use rusqlite::Connection;
use std::collections::BTreeMap;
use venom_core::SpaceName;
use venom_core::limits::NAME_CHARS_MAX;

/// What ChromaDB calls them where nobody named others.
const DEFAULT_TENANT: &str = "default_tenant";
const DEFAULT_DATABASE: &str = "default_database";
/// Letters of an id that tell a collection from others of its name.
const MARK_CHARS: usize = 8;
/// Collections that are named where the one that is wanted is not there.
const NAMED_MAX: usize = 10;

/// A collection and where its memories go.
#[derive(Clone, Debug)]
pub(super) struct Collection {
    pub(super) segment: String,
    /// How what the queue calls it ends.
    pub(super) topic: String,
    pub(super) space: SpaceName,
}

/// A collection as it is called there.
struct Listed {
    name: String,
    id: String,
    segment: String,
    /// Its database, with its tenant if that is another one, too; none for the default.
    database: Option<String>,
}

impl Listed {
    /// What people call it.
    fn shown(&self) -> String {
        match &self.database {
            Some(database) => format!("{:?} of the database {database:?}", self.name),
            None => format!("{:?}", self.name),
        }
    }

    fn wanted(&self) -> String {
        match &self.database {
            Some(database) => format!("{} ({database})", self.name),
            None => self.name.clone(),
        }
    }

    /// The space of its name, or one that is told apart by its id; the same at every run.
    fn spaces(&self) -> impl Iterator<Item = SpaceName> {
        let wanted = self.wanted();
        let letters = self.id.chars().filter(char::is_ascii_alphanumeric);
        let mark: String = letters.take(MARK_CHARS).collect();
        let plain = wanted.chars().filter(|letter| !letter.is_control());
        let kept: String = plain.take(NAME_CHARS_MAX - MARK_CHARS - 3).collect();
        let kept = match kept.trim() {
            "" => "collection",
            kept => kept,
        };
        let marked = format!("{kept} ({mark})");
        [wanted, marked]
            .into_iter()
            .filter_map(|name| SpaceName::parse(&name).ok())
    }
}

/// The collections that are read, and those that cannot be.
pub(super) fn collections(
    connection: &Connection,
    options: &Options,
    watch: &Watch,
) -> Result<(Vec<Collection>, Vec<Skipped>), rusqlite::Error> {
    let (listed, mut skipped) = listed(connection)?;
    // Which of them has a space, so that no two are mixed.
    let mut taken: BTreeMap<SpaceName, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for collection in &listed {
        let mut spaces = collection.spaces();
        let is_free = |space: &SpaceName| taken.get(space).is_none_or(|id| *id == collection.id);
        let Some(space) = spaces.find(is_free) else {
            let place = format!("collection {}", collection.shown());
            let why = "no space is left that it could go into".to_owned();
            skipped.push(Skipped { place, why });
            continue;
        };
        taken.insert(space.clone(), &collection.id);
        if !options.other_collections && space != options.space {
            continue;
        }
        if space.as_str() != collection.name {
            let (shown, space) = (collection.shown(), space.as_str());
            watch.note(format!("collection {shown} goes into the space {space:?}"));
        }
        found.push(Collection {
            segment: collection.segment.clone(),
            topic: format!("/{}", collection.id),
            space,
        });
    }
    if found.is_empty() && !options.other_collections {
        let wanted = options.space.as_str();
        let mut names: Vec<String> = listed.iter().map(Listed::shown).collect();
        let more = names.len().saturating_sub(NAMED_MAX);
        names.truncate(NAMED_MAX);
        if more > 0 {
            names.push(format!("{more} more"));
        }
        let there = if names.is_empty() {
            "none at all".to_owned()
        } else {
            names.join(", ")
        };
        watch.note(format!(
            "there is no collection {wanted:?}: found {there}; COLLECTION_NAME tells which is taken over"
        ));
    }
    Ok((found, skipped))
}

/// Every collection, those of the default database first, and those that cannot be read.
fn listed(connection: &Connection) -> Result<(Vec<Listed>, Vec<Skipped>), rusqlite::Error> {
    let sql = |database: &str, join: &str| {
        format!(
            "SELECT iif(octet_length(c.name) > ?1, substr(c.name, 1, {NAME_CHARS_MAX}), c.name),
                    iif(octet_length(c.id) > ?1, NULL, c.id), iif(octet_length(s.id) > ?1, NULL, s.id), {database}
             FROM collections AS c JOIN segments AS s ON s.collection = c.id {join}
             WHERE s.scope = 'METADATA' ORDER BY c.name, c.id"
        )
    };
    let with = sql(
        &format!("substr(d.name, 1, {NAME_CHARS_MAX}), substr(d.tenant_id, 1, {NAME_CHARS_MAX})"),
        "LEFT JOIN databases AS d ON d.id = c.database_id",
    );
    let without = sql("NULL, NULL", "");
    // The oldest have one database alone.
    let mut statement = if super::has_table(connection, "databases")? {
        connection
            .prepare(&with)
            .or_else(|_| connection.prepare(&without))?
    } else {
        connection.prepare(&without)?
    };
    let mut rows = statement.query([ID_BYTES_MAX])?;
    let (mut found, mut skipped) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let name = text_of(row.get_ref(0)?);
        let (Ok(id), Ok(segment)) = (row.get_ref(1)?.as_str(), row.get_ref(2)?.as_str()) else {
            let place = format!("collection {name}");
            let why = format!("its ids are no texts of at most {ID_BYTES_MAX} bytes");
            skipped.push(Skipped { place, why });
            continue;
        };
        let (id, segment) = (id.to_owned(), segment.to_owned());
        let (database, tenant) = (text_of(row.get_ref(3)?), text_of(row.get_ref(4)?));
        found.push(Listed {
            name,
            id,
            segment,
            database: other_database(&database, &tenant),
        });
    }
    found.sort_by_key(|collection: &Listed| collection.database.is_some());
    Ok((found, skipped))
}

/// What a database is called that is not the default one.
fn other_database(database: &str, tenant: &str) -> Option<String> {
    let is_default_tenant = tenant.is_empty() || tenant == DEFAULT_TENANT;
    let is_default = database.is_empty() || database == DEFAULT_DATABASE;
    match (is_default_tenant, is_default) {
        (true, true) => None,
        (true, false) => Some(database.to_owned()),
        (false, _) => Some(format!("{tenant}/{database}")),
    }
}
