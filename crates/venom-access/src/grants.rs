//! Grants: what the owner let a client do. A code becomes a grant, a grant has access tokens for an
//! hour and refresh tokens that are good once (OAuth 2.1, sections 4.1 and 4.3).
//!
//! Whoever shows a code or a refresh token for the second time has stolen it or was stolen from: the
//! grant ends for both (RFC 9700, section 4.14.2). Only within [`LEEWAY_SECONDS`] of its first use a refresh
//! token may come again: two programs of one app that share their settings refresh at the same time, and an
//! answer may be lost on its way.

use crate::audit::{Event, note};
use crate::secret::equal;
use crate::uses::{LastUse, tell_use};
use crate::{Access, AccessError, Rights, Secret, SecretHash};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, params};
use sha2::{Digest as _, Sha256};
use venom_core::Timestamp;

/// How long a code is good, in seconds.
pub const CODE_SECONDS: i64 = 60;
/// How long an access token is good, in seconds.
pub const ACCESS_SECONDS: i64 = 3_600;
/// How long a refresh token is good, in seconds: a client that is not used for so long signs in again.
pub const REFRESH_SECONDS: i64 = 90 * 86_400;
/// How long a refresh token that was used may come again, in seconds.
pub const LEEWAY_SECONDS: i64 = 30;
/// Most grants at a time.
pub const GRANTS_MAX: usize = 500;
/// Most access tokens of a grant that are good at the same time; the oldest go.
const ACCESS_TOKENS_MAX: usize = 8;
/// Most refresh tokens of a grant that are known, used ones included: as many as a client needs that asks
/// for new tokens each hour until the first of them would have expired. Of older ones nobody can tell any
/// more that they come a second time; they are as good as none.
const REFRESH_TOKENS_MAX: usize = 2_500;
/// What access and refresh tokens begin with.
const ACCESS_PREFIX: &str = "venom_at_";
const REFRESH_PREFIX: &str = "venom_rt_";

/// What the owner agreed to.
#[derive(Clone, Debug)]
pub struct Consent {
    /// The client's id.
    pub client_id: String,
    /// Its name, as shown to the owner.
    pub client_name: String,
    /// Where the code goes.
    pub redirect_uri: String,
    /// The host of it, as shown to the owner.
    pub redirect_host: String,
    /// The PKCE challenge, S256.
    pub challenge: String,
    /// What the client may do.
    pub rights: Rights,
    /// What it may do it with: this server (RFC 8707).
    pub resource: String,
}

/// What a client shows to get tokens for a code.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The code.
    pub code: Secret,
    /// Who the client says it is.
    pub client_id: String,
    /// Where the code was sent, if the client repeats it.
    pub redirect_uri: Option<String>,
    /// What the challenge was made of.
    pub verifier: Secret,
    /// The resource it wants tokens for, if it says.
    pub resource: Option<String>,
}

/// Tokens for a client.
#[derive(Debug)]
pub struct Redeemed {
    /// Good for [`ACCESS_SECONDS`].
    pub access: Secret,
    /// Good once.
    pub refresh: Secret,
    /// What the access token allows.
    pub rights: Rights,
}

/// Why a client gets no tokens; the sentence says what did not fit and no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// OAuth's `invalid_grant`.
    Grant(&'static str),
    /// OAuth's `invalid_target`.
    Target(&'static str),
    /// OAuth's `invalid_scope`.
    Scope(&'static str),
}

/// A grant as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its number.
    pub id: i64,
    /// The client's id.
    pub client_id: String,
    /// The client's name.
    pub client_name: String,
    /// The host that the client was answered at.
    pub redirect_host: String,
    /// What the client may do.
    pub rights: Rights,
    /// When the owner agreed.
    pub created: Timestamp,
    /// When the client was here last, to the minute.
    pub last_used: Option<Timestamp>,
    /// From where.
    pub last_used_from: Option<String>,
    /// When the grant ends unless it is used before.
    pub expires: Timestamp,
}

impl Grant {
    /// As the audit log names it.
    pub fn who(&self) -> String {
        who(self.id, &self.client_name)
    }
}

fn who(id: i64, client_name: &str) -> String {
    format!("grant {id} ({client_name})")
}

const fn later(now: Timestamp, seconds: i64) -> i64 {
    now.as_micros() + seconds * 1_000_000
}

impl Access {
    /// The code for what the owner agreed to.
    ///
    /// # Errors
    /// [`AccessError::Full`] if there are too many grants.
    pub fn agree(
        &self,
        consent: &Consent,
        now: Timestamp,
        source: &str,
    ) -> Result<Secret, AccessError> {
        let code = Secret::new("")?;
        self.write(|transaction| {
            tidy(transaction, now)?;
            let count = "SELECT count(*) FROM grants";
            let grants: usize = transaction.query_row(count, [], |row| row.get(0))?;
            if grants >= GRANTS_MAX {
                return Err(AccessError::Full(format!(
                    "{GRANTS_MAX} clients may come in already: shut one out first"
                )));
            }
            let insert =
                "INSERT INTO codes (hash, client_id, client_name, redirect_uri, redirect_host,
                                             challenge, spaces, write, resource, expires_us)
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
            transaction.execute(
                insert,
                params![
                    code.hash().0,
                    consent.client_id,
                    consent.client_name,
                    consent.redirect_uri,
                    consent.redirect_host,
                    consent.challenge,
                    consent.rights.spaces_column(),
                    consent.rights.write,
                    consent.resource,
                    later(now, CODE_SECONDS),
                ],
            )?;
            let subject = format!(
                "{} at {}: {}, {}",
                consent.client_name,
                consent.redirect_host,
                consent.rights.scope(),
                consent.rights.spaces_named()
            );
            note(
                transaction,
                now,
                Event::GrantCreated,
                "owner",
                source,
                &subject,
            )
        })?;
        Ok(code)
    }

    /// Tokens for a code. A code is good once, whatever comes of it.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be written.
    pub fn redeem(
        &self,
        exchange: &Exchange,
        now: Timestamp,
        source: &str,
    ) -> Result<Result<Redeemed, Refusal>, AccessError> {
        self.write(|transaction| {
            let hash = exchange.code.hash();
            let Some(code) = Code::find(transaction, &hash)? else {
                return Ok(Err(Refusal::Grant("the code is not known, or has expired")));
            };
            if code.used {
                if let Some(grant) = code.grant_id {
                    let subject = format!("code of {}", who(grant, &code.client_name));
                    end_grant(transaction, grant, now, source, &subject)?;
                }
                return Ok(Err(Refusal::Grant("the code was used before")));
            }
            let use_up = "UPDATE codes SET used = 1 WHERE hash = ?1";
            transaction.execute(use_up, params![hash.0])?;
            if let Err(refusal) = code.fits(exchange, now) {
                return Ok(Err(refusal));
            }
            let insert = "INSERT INTO grants (client_id, client_name, redirect_host, spaces, write,
                                              resource, created_us, expires_us)
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
            transaction.execute(
                insert,
                params![
                    code.client_id,
                    code.client_name,
                    code.redirect_host,
                    code.spaces,
                    code.write,
                    code.resource,
                    now.as_micros(),
                    later(now, REFRESH_SECONDS),
                ],
            )?;
            let grant = transaction.last_insert_rowid();
            let remember = "UPDATE codes SET grant_id = ?2 WHERE hash = ?1";
            transaction.execute(remember, params![hash.0, grant])?;
            let rights = Rights::from_columns(code.spaces.as_deref(), code.write);
            issue(transaction, grant, None, rights, now).map(Ok)
        })
    }

    /// New tokens for a refresh token, which is used up by it. `write` is whether the client wants to
    /// write, if it says so; it can ask for less than was granted, never for more.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be written.
    pub fn refresh(
        &self,
        shown: &Secret,
        client_id: &str,
        write: Option<bool>,
        resource: Option<&str>,
        now: Timestamp,
        source: &str,
    ) -> Result<Result<Redeemed, Refusal>, AccessError> {
        self.write(|transaction| {
            let hash = shown.hash();
            let select = format!(
                "SELECT {GRANT_COLUMNS}, g.resource, r.used_us, r.expires_us
                 FROM refresh_tokens r JOIN grants g ON g.id = r.grant_id WHERE r.hash = ?1"
            );
            let found = transaction.query_row(&select, params![hash.0], |row| {
                Ok(Refreshable {
                    grant: grant(row)?,
                    resource: row.get(10)?,
                    used_us: row.get(11)?,
                    expires_us: row.get(12)?,
                })
            });
            let Some(found) = found.optional()? else {
                return Ok(Err(Refusal::Grant(
                    "the refresh token is not known, or was revoked",
                )));
            };
            let grant = &found.grant;
            if !equal(&grant.client_id, client_id) {
                return Ok(Err(Refusal::Grant("the refresh token is another client's")));
            }
            if found
                .used_us
                .is_some_and(|used_us| !may_come_again(used_us, now))
                || has_used_child(transaction, &hash)?
            {
                let subject = format!("refresh token of {}", grant.who());
                end_grant(transaction, grant.id, now, source, &subject)?;
                return Ok(Err(Refusal::Grant("the refresh token was used before")));
            }
            if found.expires_us <= now.as_micros() {
                return Ok(Err(Refusal::Grant("the refresh token has expired")));
            }
            if resource.is_some_and(|resource| resource != found.resource) {
                return Ok(Err(Refusal::Target("the grant is for another resource")));
            }
            if write == Some(true) && !grant.rights.write {
                return Ok(Err(Refusal::Scope("the owner did not grant write")));
            }
            use_up(transaction, &hash, now)?;
            let extend = "UPDATE grants SET expires_us = ?2 WHERE id = ?1";
            transaction.execute(extend, params![grant.id, later(now, REFRESH_SECONDS)])?;
            let rights = Rights {
                write: write.unwrap_or(grant.rights.write),
                ..grant.rights.clone()
            };
            issue(transaction, grant.id, Some(&hash), rights, now).map(Ok)
        })
    }

    /// The grant behind an access token, if it is valid now for this resource, and notes its use. The
    /// rights are those of the token.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be read.
    pub fn use_access_token(
        &self,
        hash: &SecretHash,
        resource: &str,
        now: Timestamp,
        source: &str,
    ) -> Result<Option<Grant>, AccessError> {
        let found = {
            let connection = self.lock();
            let select = format!(
                "SELECT {GRANT_COLUMNS}, a.write, a.hash FROM access_tokens a JOIN grants g ON g.id = a.grant_id
                 WHERE a.hash = ?1 AND a.expires_us > ?2 AND g.resource = ?3"
            );
            let mut statement = connection.prepare_cached(&select)?;
            let values = params![hash.0, now.as_micros(), resource];
            let found = statement.query_row(values, |row| {
                let mut grant = grant(row)?;
                grant.rights.write &= row.get::<_, bool>(10)?;
                Ok((grant, SecretHash(row.get(11)?)))
            });
            found.optional()?
        };
        let Some((grant, _)) = found.filter(|(_, kept)| kept == hash) else {
            return Ok(None);
        };
        let last = LastUse {
            at: grant.last_used,
            from: grant.last_used_from.as_deref(),
        };
        if let Some(told) = self.uses.worth(grant.id, last, now, source) {
            let _ = self.write(|transaction| {
                let update =
                    "UPDATE grants SET last_used_us = ?2, last_used_from = ?3 WHERE id = ?1";
                transaction.execute(update, params![grant.id, now.as_micros(), source])?;
                tell_use(transaction, told, &grant.who(), now, source)
            });
        }
        Ok(Some(grant))
    }

    /// All grants, oldest first.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be read.
    pub fn grants(&self, now: Timestamp) -> Result<Vec<Grant>, AccessError> {
        let connection = self.lock();
        let select =
            format!("SELECT {GRANT_COLUMNS} FROM grants g WHERE g.expires_us > ?1 ORDER BY g.id");
        let mut statement = connection.prepare_cached(&select)?;
        let rows = statement.query_map([now.as_micros()], grant)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Shuts a client out: its tokens are void from now on.
    ///
    /// # Errors
    /// [`AccessError::NotFound`] if there is no grant of that number.
    pub fn revoke_grant(&self, id: i64, now: Timestamp, source: &str) -> Result<(), AccessError> {
        self.write(|transaction| {
            if transaction.execute("DELETE FROM grants WHERE id = ?1", [id])? == 0 {
                return Err(AccessError::NotFound(format!(
                    "there is no grant {id}: venom grant list tells which there are"
                )));
            }
            note(
                transaction,
                now,
                Event::GrantRevoked,
                "owner",
                source,
                &format!("grant {id}"),
            )
        })
    }

    /// Shuts every client out, codes on their way included, and signs every browser out; how many of each.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be written; then all stay.
    pub fn revoke_all(&self, now: Timestamp, source: &str) -> Result<(usize, usize), AccessError> {
        self.write(|transaction| {
            let grants = transaction.execute("DELETE FROM grants", [])?;
            let sessions = transaction.execute("DELETE FROM sessions", [])?;
            transaction.execute("DELETE FROM codes", [])?;
            note(
                transaction,
                now,
                Event::GrantRevoked,
                "owner",
                source,
                &format!("all {grants} grants"),
            )?;
            note(
                transaction,
                now,
                Event::SessionRevoked,
                "owner",
                source,
                &format!("all {sessions} sessions"),
            )?;
            Ok((grants, sessions))
        })
    }

    /// Whether a grant is still there. Its rights never change.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be read.
    pub fn has_grant(&self, id: i64, now: Timestamp) -> Result<bool, AccessError> {
        let select = "SELECT EXISTS (SELECT 1 FROM grants WHERE id = ?1 AND expires_us > ?2)";
        Ok(self
            .lock()
            .query_row(select, params![id, now.as_micros()], |row| row.get(0))?)
    }

    /// What a client gives back (RFC 7009): a refresh token ends its grant, an access token itself. Tokens
    /// that are not known, or another client's, are none of its business and change nothing.
    ///
    /// # Errors
    /// [`AccessError::Failed`] if the file cannot be written.
    pub fn give_back(
        &self,
        shown: &Secret,
        client_id: &str,
        now: Timestamp,
        source: &str,
    ) -> Result<(), AccessError> {
        self.write(|transaction| {
            let hash = shown.hash();
            let mine = "SELECT g.id, g.client_name FROM refresh_tokens r JOIN grants g ON g.id = r.grant_id
                        WHERE r.hash = ?1 AND g.client_id = ?2";
            let found = transaction.query_row(mine, params![hash.0, client_id], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
            });
            if let Some((grant, name)) = found.optional()? {
                transaction.execute("DELETE FROM grants WHERE id = ?1", [grant])?;
                let who = who(grant, &name);
                return note(transaction, now, Event::GrantRevoked, &who, source, &format!("grant {grant}"));
            }
            let access = "DELETE FROM access_tokens WHERE hash = ?1
                          AND grant_id IN (SELECT id FROM grants WHERE client_id = ?2)";
            transaction.execute(access, params![hash.0, client_id])?;
            Ok(())
        })
    }
}

/// A refresh token with its grant.
struct Refreshable {
    grant: Grant,
    resource: String,
    used_us: Option<i64>,
    expires_us: i64,
}

/// A code as it is kept.
struct Code {
    client_id: String,
    client_name: String,
    redirect_uri: String,
    redirect_host: String,
    challenge: String,
    spaces: Option<String>,
    write: bool,
    resource: String,
    expires_us: i64,
    used: bool,
    grant_id: Option<i64>,
}

impl Code {
    fn find(connection: &Connection, hash: &SecretHash) -> Result<Option<Self>, AccessError> {
        let select =
            "SELECT client_id, client_name, redirect_uri, redirect_host, challenge, spaces, write,
                             resource, expires_us, used, grant_id
                      FROM codes WHERE hash = ?1";
        let found = connection.query_row(select, params![hash.0], |row| {
            Ok(Self {
                client_id: row.get(0)?,
                client_name: row.get(1)?,
                redirect_uri: row.get(2)?,
                redirect_host: row.get(3)?,
                challenge: row.get(4)?,
                spaces: row.get(5)?,
                write: row.get(6)?,
                resource: row.get(7)?,
                expires_us: row.get(8)?,
                used: row.get(9)?,
                grant_id: row.get(10)?,
            })
        });
        Ok(found.optional()?)
    }

    fn fits(&self, exchange: &Exchange, now: Timestamp) -> Result<(), Refusal> {
        if self.expires_us <= now.as_micros() {
            return Err(Refusal::Grant("the code has expired"));
        }
        if !equal(&self.client_id, &exchange.client_id) {
            return Err(Refusal::Grant("the code is another client's"));
        }
        if exchange
            .redirect_uri
            .as_ref()
            .is_some_and(|uri| !equal(uri, &self.redirect_uri))
        {
            return Err(Refusal::Grant(
                "redirect_uri differs from the one the code was sent to",
            ));
        }
        if !equal(&challenge(exchange.verifier.reveal()), &self.challenge) {
            return Err(Refusal::Grant(
                "code_verifier does not belong to the code's challenge",
            ));
        }
        match &exchange.resource {
            Some(resource) if *resource != self.resource => {
                Err(Refusal::Target("the code is for another resource"))
            }
            _ => Ok(()),
        }
    }
}

/// The PKCE challenge of a verifier (RFC 7636, section 4.6).
fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

/// Whether a refresh token that was used may still come again.
const fn may_come_again(used_us: i64, now: Timestamp) -> bool {
    now.as_micros() < used_us + LEEWAY_SECONDS * 1_000_000
}

/// Whether a client has gone on with what a refresh token brought.
fn has_used_child(transaction: &Transaction<'_>, hash: &SecretHash) -> Result<bool, AccessError> {
    let child =
        "SELECT EXISTS (SELECT 1 FROM refresh_tokens WHERE parent = ?1 AND used_us IS NOT NULL)";
    Ok(transaction.query_row(child, params![hash.0], |row| row.get(0))?)
}

/// Notes that a refresh token is used. Whatever else its parent brought while it could come again has lost:
/// from now on it counts as used long ago, so that of two chains one ends the grant when it goes on.
fn use_up(
    transaction: &Transaction<'_>,
    hash: &SecretHash,
    now: Timestamp,
) -> Result<(), AccessError> {
    let used = "UPDATE refresh_tokens SET used_us = ?2 WHERE hash = ?1 AND used_us IS NULL";
    transaction.execute(used, params![hash.0, now.as_micros()])?;
    let siblings = "UPDATE refresh_tokens SET used_us = 0 WHERE used_us IS NULL AND hash <> ?1
                    AND parent = (SELECT parent FROM refresh_tokens WHERE hash = ?1)";
    transaction.execute(siblings, params![hash.0])?;
    Ok(())
}

/// Makes a pair of tokens for a grant; `parent` is the refresh token that they are made for.
fn issue(
    transaction: &Transaction<'_>,
    grant: i64,
    parent: Option<&SecretHash>,
    rights: Rights,
    now: Timestamp,
) -> Result<Redeemed, AccessError> {
    let (access, refresh) = (Secret::new(ACCESS_PREFIX)?, Secret::new(REFRESH_PREFIX)?);
    let insert =
        "INSERT INTO access_tokens (hash, grant_id, write, expires_us) VALUES (?1, ?2, ?3, ?4)";
    let values = params![
        access.hash().0,
        grant,
        rights.write,
        later(now, ACCESS_SECONDS)
    ];
    transaction.execute(insert, values)?;
    let too_many = "DELETE FROM access_tokens WHERE grant_id = ?1 AND rowid NOT IN
                    (SELECT rowid FROM access_tokens WHERE grant_id = ?1 ORDER BY rowid DESC LIMIT ?2)";
    transaction.execute(too_many, params![grant, ACCESS_TOKENS_MAX])?;
    let insert =
        "INSERT INTO refresh_tokens (hash, grant_id, expires_us, parent) VALUES (?1, ?2, ?3, ?4)";
    let expires_us = later(now, REFRESH_SECONDS);
    transaction.execute(
        insert,
        params![
            refresh.hash().0,
            grant,
            expires_us,
            parent.map(|hash| hash.0)
        ],
    )?;
    let too_many = "DELETE FROM refresh_tokens WHERE grant_id = ?1 AND used_us IS NOT NULL AND rowid <=
                    (SELECT rowid FROM refresh_tokens WHERE grant_id = ?1 ORDER BY rowid DESC LIMIT 1 OFFSET ?2)";
    transaction.execute(too_many, params![grant, REFRESH_TOKENS_MAX])?;
    tidy(transaction, now)?;
    Ok(Redeemed {
        access,
        refresh,
        rights,
    })
}

/// Ends a grant because something of it came twice.
fn end_grant(
    transaction: &Transaction<'_>,
    grant: i64,
    now: Timestamp,
    source: &str,
    subject: &str,
) -> Result<(), AccessError> {
    transaction.execute("DELETE FROM grants WHERE id = ?1", [grant])?;
    note(
        transaction,
        now,
        Event::ReuseDetected,
        "unknown",
        source,
        subject,
    )
}

/// Removes what has expired. Codes stay for an hour, so that one that comes again is noticed.
fn tidy(transaction: &Transaction<'_>, now: Timestamp) -> Result<(), AccessError> {
    let now_us = now.as_micros();
    transaction.execute(
        "DELETE FROM codes WHERE expires_us <= ?1",
        [later(now, -3_600)],
    )?;
    transaction.execute("DELETE FROM access_tokens WHERE expires_us <= ?1", [now_us])?;
    transaction.execute(
        "DELETE FROM refresh_tokens WHERE expires_us <= ?1",
        [now_us],
    )?;
    transaction.execute("DELETE FROM grants WHERE expires_us <= ?1", [now_us])?;
    Ok(())
}

const GRANT_COLUMNS: &str = "g.id, g.client_id, g.client_name, g.redirect_host, g.spaces, g.write, \
                             g.created_us, g.last_used_us, g.last_used_from, g.expires_us";

fn grant(row: &Row<'_>) -> rusqlite::Result<Grant> {
    let spaces: Option<String> = row.get(4)?;
    Ok(Grant {
        id: row.get(0)?,
        client_id: row.get(1)?,
        client_name: row.get(2)?,
        redirect_host: row.get(3)?,
        rights: Rights::from_columns(spaces.as_deref(), row.get(5)?),
        created: Timestamp::from_micros(row.get(6)?),
        last_used: row.get::<_, Option<i64>>(7)?.map(Timestamp::from_micros),
        last_used_from: row.get(8)?,
        expires: Timestamp::from_micros(row.get(9)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AuditQuery;
    use crate::database::tests::{at, fresh};
    use venom_core::SpaceName;

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const RESOURCE: &str = "https://venom.example/mcp";

    fn consent(write: bool) -> Consent {
        let work = SpaceName::parse("work").unwrap();
        Consent {
            client_id: "client_1".to_owned(),
            client_name: "Claude".to_owned(),
            redirect_uri: "https://claude.ai/callback".to_owned(),
            redirect_host: "claude.ai".to_owned(),
            challenge: challenge(VERIFIER),
            rights: Rights::within(vec![work], write).unwrap(),
            resource: RESOURCE.to_owned(),
        }
    }

    fn exchange(code: &Secret) -> Exchange {
        Exchange {
            code: code.clone(),
            client_id: "client_1".to_owned(),
            redirect_uri: Some("https://claude.ai/callback".to_owned()),
            verifier: Secret::shown(VERIFIER),
            resource: Some(RESOURCE.to_owned()),
        }
    }

    /// The access tokens and grants of a client that was just let in.
    fn let_in(access: &Access, write: bool) -> Redeemed {
        let code = access.agree(&consent(write), at(0), "web").unwrap();
        access
            .redeem(&exchange(&code), at(1), "192.0.2.1")
            .unwrap()
            .unwrap()
    }

    fn is_valid(access: &Access, token: &Secret, now: i64) -> bool {
        access
            .use_access_token(&token.hash(), RESOURCE, at(now), "192.0.2.1")
            .unwrap()
            .is_some()
    }

    #[test]
    fn the_challenge_is_that_of_the_rfc() {
        assert_eq!(
            challenge(VERIFIER),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn a_code_becomes_a_grant_with_the_rights_agreed_to() {
        let fresh = fresh();
        let tokens = let_in(&fresh.access, false);
        let hash = tokens.access.hash();
        let used = |resource, now| {
            fresh
                .access
                .use_access_token(&hash, resource, at(now), "192.0.2.1")
                .unwrap()
        };
        let grant = used(RESOURCE, 2).unwrap();
        assert_eq!(
            (grant.client_name.as_str(), grant.rights),
            ("Claude", consent(false).rights)
        );
        assert_eq!(
            used("https://other.example/mcp", 2),
            None,
            "another audience"
        );
        assert_eq!(used(RESOURCE, 1 + ACCESS_SECONDS), None, "expired");
        let listed = fresh.access.grants(at(3)).unwrap();
        assert_eq!((listed.len(), listed[0].last_used), (1, Some(at(2))));
        assert!(
            fresh
                .access
                .use_access_token(&tokens.refresh.hash(), RESOURCE, at(2), "")
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_code_that_comes_twice_ends_its_grant() {
        let fresh = fresh();
        let access = &fresh.access;
        let code = access.agree(&consent(true), at(0), "web").unwrap();
        let tokens = access
            .redeem(&exchange(&code), at(1), "a")
            .unwrap()
            .unwrap();
        assert!(is_valid(access, &tokens.access, 2));
        let again = access.redeem(&exchange(&code), at(3), "b").unwrap();
        assert_eq!(
            again.unwrap_err(),
            Refusal::Grant("the code was used before")
        );
        assert!(!is_valid(access, &tokens.access, 4) && access.grants(at(4)).unwrap().is_empty());
        let log = access
            .read_audit(&AuditQuery {
                since: None,
                limit: 100,
            })
            .unwrap();
        assert!(
            log.iter()
                .any(|entry| entry.event == Event::ReuseDetected.name())
        );
    }

    #[test]
    fn used_refresh_tokens_do_not_grow_without_bound() {
        let fresh = fresh();
        let access = &fresh.access;
        let first = let_in(access, true);
        // As if the client had refreshed for long.
        let fill = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= ?1)
                    INSERT INTO refresh_tokens (hash, grant_id, expires_us, used_us)
                    SELECT randomblob(32), grant_id, expires_us, 1 FROM n, refresh_tokens";
        access.lock().execute(fill, [REFRESH_TOKENS_MAX]).unwrap();
        let refresh = |shown: &Secret| {
            let refreshed = access.refresh(shown, "client_1", None, None, at(2), "a");
            refreshed.unwrap()
        };
        let second = refresh(&first.refresh).unwrap();
        let count = "SELECT count(*) FROM refresh_tokens";
        let kept: usize = access
            .lock()
            .query_row(count, [], |row| row.get(0))
            .unwrap();
        assert_eq!(kept, REFRESH_TOKENS_MAX);
        let unknown = Refusal::Grant("the refresh token is not known, or was revoked");
        assert_eq!(
            refresh(&first.refresh).unwrap_err(),
            unknown,
            "long forgotten"
        );
        assert!(refresh(&second.refresh).is_ok());
    }

    #[test]
    fn whatever_does_not_fit_uses_the_code_up() {
        type Change = fn(&mut Exchange);
        let changes: [(Change, i64); 5] = [
            (|it| it.client_id = "client_2".to_owned(), 1),
            (
                |it| it.redirect_uri = Some("https://evil.example/".to_owned()),
                1,
            ),
            (|it| it.verifier = Secret::shown("x".repeat(43)), 1),
            (
                |it| it.resource = Some("https://evil.example/mcp".to_owned()),
                1,
            ),
            (|_| (), CODE_SECONDS),
        ];
        for (index, (change, now)) in changes.into_iter().enumerate() {
            let fresh = fresh();
            let code = fresh.access.agree(&consent(true), at(0), "web").unwrap();
            let mut wrong = exchange(&code);
            change(&mut wrong);
            assert!(
                fresh.access.redeem(&wrong, at(now), "a").unwrap().is_err(),
                "{index}"
            );
            assert!(
                fresh
                    .access
                    .redeem(&exchange(&code), at(2), "a")
                    .unwrap()
                    .is_err(),
                "{index}"
            );
            assert!(fresh.access.grants(at(3)).unwrap().is_empty(), "{index}");
        }
    }

    #[test]
    fn refresh_tokens_are_good_once_and_reuse_ends_the_grant() {
        let fresh = fresh();
        let access = &fresh.access;
        let first = let_in(access, true);
        let refresh = |token: &Secret, now| {
            access
                .refresh(token, "client_1", None, Some(RESOURCE), at(now), "a")
                .unwrap()
        };
        let second = refresh(&first.refresh, 10).unwrap();
        assert!(is_valid(access, &first.access, 11) && is_valid(access, &second.access, 11));
        // Two programs at the same time, or an answer that got lost.
        let again = refresh(&first.refresh, 10 + LEEWAY_SECONDS - 1).unwrap();
        assert!(is_valid(access, &again.access, 40) && is_valid(access, &second.access, 40));
        // One of the two chains goes on; the other has lost, and ends the grant should it go on, too.
        let third = refresh(&second.refresh, 41).unwrap();
        assert_eq!(
            refresh(&again.refresh, 42).unwrap_err(),
            Refusal::Grant("the refresh token was used before")
        );
        for token in [&first, &second, &third, &again] {
            assert!(!is_valid(access, &token.access, 43));
        }
        assert!(refresh(&third.refresh, 44).is_err());
    }

    #[test]
    fn a_refresh_token_comes_again_only_while_nobody_has_gone_on() {
        for (used_again, gone_on) in [(10 + LEEWAY_SECONDS, false), (12, true)] {
            let fresh = fresh();
            let access = &fresh.access;
            let first = let_in(access, true);
            let refresh = |token: &Secret, now| {
                let refreshed = access.refresh(token, "client_1", None, None, at(now), "a");
                refreshed.unwrap()
            };
            let second = refresh(&first.refresh, 10).unwrap();
            if gone_on {
                refresh(&second.refresh, 11).unwrap();
            }
            assert!(refresh(&first.refresh, used_again).is_err());
            assert!(!is_valid(access, &second.access, used_again));
        }
    }

    #[test]
    fn refreshing_gives_no_more_than_was_granted() {
        let fresh = fresh();
        let access = &fresh.access;
        let tokens = let_in(access, false);
        let ask = |client, write, resource| {
            access
                .refresh(&tokens.refresh, client, write, Some(resource), at(5), "a")
                .unwrap()
        };
        assert!(matches!(
            ask("client_1", Some(true), RESOURCE),
            Err(Refusal::Scope(_))
        ));
        assert!(matches!(
            ask("client_1", None, "https://evil.example/mcp"),
            Err(Refusal::Target(_))
        ));
        assert!(matches!(
            ask("client_2", None, RESOURCE),
            Err(Refusal::Grant(_))
        ));
        assert!(!ask("client_1", None, RESOURCE).unwrap().rights.write);

        let tokens = let_in(access, true);
        let narrow = access
            .refresh(&tokens.refresh, "client_1", Some(false), None, at(5), "a")
            .unwrap()
            .unwrap();
        let grant = access
            .use_access_token(&narrow.access.hash(), RESOURCE, at(6), "a")
            .unwrap()
            .unwrap();
        assert!(!grant.rights.write, "less was asked for");
        let wide = access
            .refresh(&narrow.refresh, "client_1", None, None, at(7), "a")
            .unwrap()
            .unwrap();
        assert!(wide.rights.write, "the grant still has it");
    }

    #[test]
    fn what_is_revoked_is_void_at_once() {
        let fresh = fresh();
        let access = &fresh.access;
        let one = let_in(access, true);
        access
            .give_back(&one.access, "client_2", at(2), "a")
            .unwrap();
        assert!(is_valid(access, &one.access, 3), "another client's");
        access
            .give_back(&one.access, "client_1", at(4), "a")
            .unwrap();
        assert!(!is_valid(access, &one.access, 5));
        let two = access
            .refresh(&one.refresh, "client_1", None, None, at(6), "a")
            .unwrap()
            .unwrap();
        access
            .give_back(&two.refresh, "client_1", at(7), "a")
            .unwrap();
        assert!(!is_valid(access, &two.access, 8));
        let three = let_in(access, true);
        let id = access.grants(at(9)).unwrap()[0].id;
        access.revoke_grant(id, at(10), "web").unwrap();
        assert!(!is_valid(access, &three.access, 11));
        assert!(access.revoke_grant(id, at(10), "web").is_err());
    }

    #[test]
    fn what_has_expired_is_removed() {
        let fresh = fresh();
        let access = &fresh.access;
        let mut tokens = let_in(access, true);
        for hour in 1..50 {
            let now = at(hour * 3_600);
            tokens = access
                .refresh(&tokens.refresh, "client_1", None, None, now, "a")
                .unwrap()
                .unwrap();
        }
        let count = |table: &str| -> i64 {
            let count = format!("SELECT count(*) FROM {table}");
            access
                .lock()
                .query_row(&count, [], |row| row.get(0))
                .unwrap()
        };
        assert_eq!(count("access_tokens"), 1);
        assert_eq!(count("codes"), 0);
        access
            .agree(&consent(true), at(51 * 3_600 + REFRESH_SECONDS), "web")
            .unwrap();
        assert_eq!((count("grants"), count("refresh_tokens")), (0, 0));
    }
}
