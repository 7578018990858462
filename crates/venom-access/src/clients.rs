//! Clients that registered themselves (RFC 7591). Clients with a metadata document need no row.

use crate::audit::{Event, note};
use crate::{Access, AccessError, Secret};
use rusqlite::{OptionalExtension as _, Row, params};
use venom_core::Timestamp;

/// Most registered clients at a time.
pub const CLIENTS_MAX: usize = 500;
/// A client that registers. Its values were checked.
#[derive(Clone, Debug)]
pub struct NewClient {
    /// What it calls itself. Anybody may call themselves anything.
    pub name: String,
    /// Where it may be answered.
    pub redirect_uris: Vec<String>,
}

/// A registered client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its id, which is no secret.
    pub client_id: String,
    /// What it calls itself.
    pub name: String,
    /// Where it may be answered.
    pub redirect_uris: Vec<String>,
    /// When it registered.
    pub created: Timestamp,
}

impl Access {
    /// Registers a client. Where there are too many, the oldest goes that has no grant: whoever registers
    /// without end pushes out what came to nothing, and keeps nobody from registering.
    ///
    /// # Errors
    /// [`AccessError::Full`] if all others have grants.
    pub fn register_client(
        &self,
        new: &NewClient,
        now: Timestamp,
        source: &str,
    ) -> Result<Client, AccessError> {
        let client_id = Secret::new("client_")?
            .reveal()
            .chars()
            .take(39)
            .collect::<String>();
        let uris = new.redirect_uris.join("\n");
        self.write(|transaction| {
            let count = "SELECT count(*) FROM clients";
            let clients: usize = transaction.query_row(count, [], |row| row.get(0))?;
            if clients >= CLIENTS_MAX {
                let oldest = "DELETE FROM clients WHERE client = (SELECT min(client) FROM clients
                              WHERE client_id NOT IN (SELECT client_id FROM grants))";
                if transaction.execute(oldest, [])? == 0 {
                    return Err(AccessError::Full(format!(
                        "{CLIENTS_MAX} registered clients are in use: shut one out first"
                    )));
                }
            }
            let insert = "INSERT INTO clients (client_id, name, redirect_uris, created_us) VALUES (?1, ?2, ?3, ?4)";
            transaction.execute(insert, params![client_id, new.name, uris, now.as_micros()])?;
            note(transaction, now, Event::ClientRegistered, "unknown", source, &format!("{}: {client_id}", new.name))
        })?;
        Ok(Client {
            client_id,
            name: new.name.clone(),
            redirect_uris: new.redirect_uris.clone(),
            created: now,
        })
    }

    /// A registered client.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be read.
    pub fn client(&self, client_id: &str) -> Result<Option<Client>, AccessError> {
        let select =
            "SELECT client_id, name, redirect_uris, created_us FROM clients WHERE client_id = ?1";
        Ok(self
            .lock()
            .query_row(select, [client_id], client)
            .optional()?)
    }

    /// All registered clients, oldest first.
    #[cfg(test)]
    fn clients(&self) -> Result<Vec<Client>, AccessError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT client_id, name, redirect_uris, created_us FROM clients ORDER BY client",
        )?;
        let rows = statement.query_map([], client)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Removes a client and every grant it has.
    ///
    /// # Errors
    /// [`AccessError::NotFound`] if there is none of that id.
    pub fn remove_client(
        &self,
        client_id: &str,
        now: Timestamp,
        source: &str,
    ) -> Result<(), AccessError> {
        self.write(|transaction| {
            let removed =
                transaction.execute("DELETE FROM clients WHERE client_id = ?1", [client_id])?;
            let grants =
                transaction.execute("DELETE FROM grants WHERE client_id = ?1", [client_id])?;
            transaction.execute("DELETE FROM codes WHERE client_id = ?1", [client_id])?;
            if removed + grants == 0 {
                let shown: String = client_id.chars().take(60).collect();
                return Err(AccessError::NotFound(format!(
                    "there is no client {shown:?}"
                )));
            }
            note(
                transaction,
                now,
                Event::ClientRemoved,
                "owner",
                source,
                client_id,
            )
        })
    }
}

fn client(row: &Row<'_>) -> rusqlite::Result<Client> {
    let uris: String = row.get(2)?;
    Ok(Client {
        client_id: row.get(0)?,
        name: row.get(1)?,
        redirect_uris: uris.lines().map(str::to_owned).collect(),
        created: Timestamp::from_micros(row.get(3)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::tests::{at, fresh};

    fn new(name: &str) -> NewClient {
        NewClient {
            name: name.to_owned(),
            redirect_uris: vec![
                "https://a.example/1".to_owned(),
                "https://a.example/2".to_owned(),
            ],
        }
    }

    #[test]
    fn clients_are_found_and_removed() {
        let fresh = fresh();
        let access = &fresh.access;
        let made = access
            .register_client(&new("One"), at(0), "192.0.2.1")
            .unwrap();
        assert_eq!(access.client(&made.client_id).unwrap(), Some(made.clone()));
        assert_eq!(access.clients().unwrap(), std::slice::from_ref(&made));
        access.remove_client(&made.client_id, at(1), "web").unwrap();
        assert_eq!(access.client(&made.client_id).unwrap(), None);
        assert!(access.remove_client(&made.client_id, at(1), "web").is_err());
    }

    #[test]
    fn a_flood_of_registrations_pushes_out_nobody_who_was_let_in_and_keeps_nobody_out() {
        let fresh = fresh();
        let access = &fresh.access;
        let first = access.register_client(&new("First"), at(0), "a").unwrap();
        let grant = "INSERT INTO grants (client_id, client_name, redirect_host, write, resource, created_us, expires_us)
                     VALUES (?1, 'First', 'a.example', 1, 'r', 0, 9000000000000000)";
        access.lock().execute(grant, [&first.client_id]).unwrap();
        for _ in 0..CLIENTS_MAX + 5 {
            access.register_client(&new("Flood"), at(1), "b").unwrap();
        }
        let late = access.register_client(&new("Late"), at(2), "c").unwrap();
        assert_eq!(access.clients().unwrap().len(), CLIENTS_MAX);
        for client in [first, late] {
            assert!(
                access.client(&client.client_id).unwrap().is_some(),
                "{}",
                client.name
            );
        }
        // Only where all are in use there is no room.
        access
            .lock()
            .execute("UPDATE grants SET client_id = 'x'", [])
            .unwrap();
        let all = "INSERT INTO grants (client_id, client_name, redirect_host, write, resource, created_us, expires_us)
                   SELECT client_id, name, 'a.example', 1, 'r', 0, 9000000000000000 FROM clients";
        access.lock().execute(all, []).unwrap();
        let refused = access.register_client(&new("Later"), at(3), "c");
        assert!(matches!(refused, Err(AccessError::Full(_))));
    }
}
