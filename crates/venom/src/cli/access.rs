//! The commands about who may come in. They work on the access file directly, beside a running server,
//! which sees every change at once.

use super::output;
use crate::access_file::AccessFile;
use crate::age::Age;
use crate::asked::{self, SystemClock};
use crate::config::Config;
use crate::failure::Failure;
use crate::serve::new_passphrase;
use clap::ArgMatches;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::sync::Arc;
use venom_access::owner::{PASSPHRASE_BYTES_MAX, check_passphrase};
use venom_access::{
    Access, AuditQuery, Grant, NewToken, OWNER, Passkey, Rights, Session, Spaces, Token,
};
use venom_core::ports::Clock as _;
use venom_core::{InputError, SpaceName, Timestamp};

/// From where, in the audit log.
const SOURCE: &str = super::commands::DOOR;
/// Most lines of the audit log at a time.
const AUDIT_LINES: (i64, i64) = (1, 100_000);

/// Runs one command.
///
/// # Errors
/// [`Failure`] with the sentence and kind to show.
pub(super) fn run(name: &str, arguments: &ArgMatches, config: &Arc<Config>) -> Result<(), Failure> {
    // Bad input is found before the data folder is touched.
    let action = Action::parse(name, arguments)?;
    if !config.data.is_dir() {
        let data = config.data.display();
        return Err(Failure::not_ready(format!(
            "the data folder {data} does not exist: expected the one that the server uses (--data)"
        )));
    }
    let access = AccessFile::new(config.data.clone()).open()?;
    action.carry_out(&access)
}

/// A parsed command.
enum Action {
    Init { chosen: Option<String> },
    CreateToken { new: NewToken, json: bool },
    ListTokens { json: bool },
    RevokeToken { name: String },
    ListGrants { json: bool },
    RevokeGrant { number: i64 },
    RevokeAll,
    Audit { query: AuditQuery, json: bool },
}

impl Action {
    fn parse(name: &str, arguments: &ArgMatches) -> Result<Self, Failure> {
        let inner = arguments.subcommand();
        Ok(match (name, inner) {
            ("auth", Some(("init", arguments))) => Self::Init {
                chosen: if arguments.get_flag("passphrase-stdin") {
                    Some(passphrase_on_stdin()?)
                } else {
                    None
                },
            },
            ("token", Some(("create", arguments))) => Self::CreateToken {
                new: new_token(arguments)?,
                json: arguments.get_flag("json"),
            },
            ("token", Some(("list", arguments))) => Self::ListTokens {
                json: arguments.get_flag("json"),
            },
            ("token", Some(("revoke", arguments))) => Self::RevokeToken {
                name: text(arguments, "name").unwrap_or_default().to_owned(),
            },
            ("grant", Some(("list", arguments))) => Self::ListGrants {
                json: arguments.get_flag("json"),
            },
            ("grant", Some(("revoke", arguments))) => Self::RevokeGrant {
                number: arguments.get_one("number").copied().unwrap_or_default(),
            },
            ("grant", Some(("revoke-all", _))) => Self::RevokeAll,
            ("audit", _) => Self::Audit {
                query: audit_query(arguments)?,
                json: arguments.get_flag("json"),
            },
            _ => {
                return Err(Failure::internal(format!(
                    "the command {name} is not wired"
                )));
            }
        })
    }

    fn carry_out(self, access: &Access) -> Result<(), Failure> {
        let now = SystemClock.now();
        match self {
            Self::Init { chosen } => init(access, chosen, now),
            Self::CreateToken { new, json } => create(access, &new, json, now),
            Self::ListTokens { json } => tokens(&access.tokens()?, json, now),
            Self::RevokeToken { name } => {
                access.revoke_token(&name, now, SOURCE)?;
                output::line(&format!("Revoked the token {}.", name.trim()))
            }
            Self::ListGrants { json } => grants(
                &access.grants(now)?,
                &access.sessions(now)?,
                &access.passkeys()?,
                json,
            ),
            Self::RevokeGrant { number } => {
                access.revoke_grant(number, now, SOURCE)?;
                output::line(&format!("Shut out grant {number}."))
            }
            Self::RevokeAll => {
                let (grants, sessions) = access.revoke_all(now, SOURCE)?;
                output::line(&format!(
                    "Shut {grants} apps out and signed {sessions} browsers out."
                ))
            }
            Self::Audit { query, json } => audit(access, &query, json),
        }
    }
}

fn text<'a>(arguments: &'a ArgMatches, name: &str) -> Option<&'a str> {
    arguments
        .try_get_one::<String>(name)
        .ok()
        .flatten()
        .map(String::as_str)
}

fn passphrase_on_stdin() -> Result<String, Failure> {
    let most = u64::try_from(PASSPHRASE_BYTES_MAX).unwrap_or(u64::MAX) + 2;
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(most)
        .read_to_string(&mut text)
        .map_err(|error| Failure::invalid(format!("stdin cannot be read: {error}")))?;
    Ok(check_passphrase(&text)?.reveal().to_owned())
}

fn new_token(arguments: &ArgMatches) -> Result<NewToken, Failure> {
    // The flag only: the space that the environment configures is no wish to bind a token to it.
    let named = text(arguments, "space").map(|names| names.split(','));
    let spaces = named
        .into_iter()
        .flatten()
        .map(SpaceName::parse)
        .collect::<Result<_, _>>()?;
    let expires = text(arguments, "expires").map(|text| expiry(text, SystemClock.now()));
    Ok(NewToken {
        name: text(arguments, "name").unwrap_or_default().to_owned(),
        rights: Rights::within(spaces, !arguments.get_flag("read-only"))?,
        expires: expires.transpose()?,
    })
}

/// A time to come: `90d`, `12h`, `4w`, a date or a time.
fn expiry(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let expected = "90d, 12h, 4w or a date such as 2027-03-01";
    let malformed = || InputError::malformed("expires", expected, text);
    let trimmed = text.trim();
    if let Some(age) = Age::parse(trimmed).filter(|age| age.as_micros() > 0) {
        let end = now.as_micros() + age.as_micros();
        return Ok(Timestamp::from_micros(end));
    }
    Ok(Timestamp::parse(trimmed).ok_or_else(malformed)?)
}

fn audit_query(arguments: &ArgMatches) -> Result<AuditQuery, Failure> {
    let given = text(arguments, "limit").unwrap_or_default();
    let (min, max) = AUDIT_LINES;
    let limit: i64 = given
        .parse()
        .map_err(|_| InputError::malformed("limit", "a whole number from 1 to 100000", given))?;
    if !(min..=max).contains(&limit) {
        return Err(InputError::OutOfRange {
            field: "limit",
            min,
            max,
            received: limit,
        }
        .into());
    }
    let since = text(arguments, "since")
        .map(|text| asked::period("since", text))
        .transpose()?;
    Ok(AuditQuery {
        since: since.map(|period| period.start),
        limit: usize::try_from(limit).unwrap_or_default(),
    })
}

fn init(access: &Access, chosen: Option<String>, now: Timestamp) -> Result<(), Failure> {
    let passphrase = match chosen {
        Some(chosen) => {
            access.set_passphrase(&check_passphrase(&chosen)?, now, SOURCE)?;
            "the one you chose".to_owned()
        }
        None => new_passphrase(access, SOURCE)?.reveal().to_owned(),
    };
    if access.tokens()?.iter().any(|token| token.name == OWNER) {
        access.revoke_token(OWNER, now, SOURCE)?;
    }
    let new = NewToken {
        name: OWNER.to_owned(),
        rights: Rights::ALL,
        expires: None,
    };
    let token = access.create_token(&new, now, SOURCE)?;
    output::line(&format!(
        "Passphrase   {passphrase}\nOwner token  {}\nThey are shown only now; the old ones are void, and browsers \
         are signed out.\nApps and other tokens stay: see venom grant list and venom token list.",
        token.reveal()
    ))
}

fn create(access: &Access, new: &NewToken, json: bool, now: Timestamp) -> Result<(), Failure> {
    let secret = access.create_token(new, now, SOURCE)?;
    if json {
        return output::line(
            &json!({"name": new.name.trim(), "token": secret.reveal()}).to_string(),
        );
    }
    output::line(&format!(
        "{}\nThe token {} {}. It is shown only now.\nClients send it as: Authorization: Bearer TOKEN",
        secret.reveal(),
        new.name.trim(),
        reach(&new.rights)
    ))
}

fn reach(rights: &Rights) -> String {
    let verb = if rights.write {
        "reads and writes"
    } else {
        "reads"
    };
    format!("{verb} {}", rights.spaces_named())
}

fn spaces_json(rights: &Rights) -> Value {
    match &rights.spaces {
        Spaces::All => Value::Null,
        Spaces::Only(spaces) => spaces.iter().map(SpaceName::as_str).collect(),
    }
}

fn moment(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| json!(at.to_string()))
}

/// A moment to the minute, for people.
fn minute(at: Timestamp) -> String {
    let text = at.to_string();
    text.get(..16)
        .map_or(text.clone(), |text| text.replace('T', " "))
}

fn used(at: Option<Timestamp>, from: Option<&str>) -> String {
    let from = from.map_or_else(String::new, |from| format!(" from {from}"));
    at.map_or_else(
        || "never used".to_owned(),
        |at| format!("used {}{from}", minute(at)),
    )
}

fn tokens(tokens: &[Token], json: bool, now: Timestamp) -> Result<(), Failure> {
    if json {
        let token = |token: &Token| {
            json!({
                "name": token.name,
                "spaces": spaces_json(&token.rights),
                "write": token.rights.write,
                "created": token.created.to_string(),
                "expires": moment(token.expires),
                "last_used": moment(token.last_used),
                "last_used_from": token.last_used_from,
            })
        };
        return output::line(&format!(
            "{:#}",
            tokens.iter().map(token).collect::<Value>()
        ));
    }
    if tokens.is_empty() {
        return output::line("There are no tokens: venom token create makes one.");
    }
    let mut lines = String::new();
    for token in tokens {
        let ends = match token.expires {
            None => String::new(),
            Some(at) if at <= now => ", has expired".to_owned(),
            Some(at) => format!(", until {}", minute(at)),
        };
        let used = used(token.last_used, token.last_used_from.as_deref());
        let _ = writeln!(
            lines,
            "{}  {}{ends}, {used}",
            token.name,
            reach(&token.rights)
        );
    }
    output::text(&lines)
}

fn grants(
    grants: &[Grant],
    sessions: &[Session],
    passkeys: &[Passkey],
    json: bool,
) -> Result<(), Failure> {
    if json {
        let grant = |grant: &Grant| {
            json!({
                "number": grant.id,
                "client_id": grant.client_id,
                "client_name": grant.client_name,
                "redirect_host": grant.redirect_host,
                "spaces": spaces_json(&grant.rights),
                "write": grant.rights.write,
                "created": grant.created.to_string(),
                "expires": grant.expires.to_string(),
                "last_used": moment(grant.last_used),
                "last_used_from": grant.last_used_from,
            })
        };
        let session = |session: &Session| {
            json!({
                "number": session.id,
                "created": session.created.to_string(),
                "expires": session.expires.to_string(),
                "address": session.address,
                "agent": session.agent,
            })
        };
        let passkey = |passkey: &Passkey| {
            json!({
                "number": passkey.id,
                "name": passkey.name,
                "created": passkey.created.to_string(),
                "last_used": moment(passkey.last_used),
            })
        };
        let all = json!({
            "grants": grants.iter().map(grant).collect::<Value>(),
            "sessions": sessions.iter().map(session).collect::<Value>(),
            "passkeys": passkeys.iter().map(passkey).collect::<Value>(),
        });
        return output::line(&format!("{all:#}"));
    }
    let mut lines = Vec::new();
    for grant in grants {
        let used = used(grant.last_used, grant.last_used_from.as_deref());
        let (name, host) = (&grant.client_name, &grant.redirect_host);
        lines.push(format!(
            "grant {}  {name} at {host}, {}, {used}",
            grant.id,
            reach(&grant.rights)
        ));
    }
    for session in sessions {
        let (address, agent) = (&session.address, &session.agent);
        lines.push(format!(
            "browser  {address}, since {}, {agent}",
            minute(session.created)
        ));
    }
    for passkey in passkeys {
        lines.push(format!(
            "passkey  {}, {}",
            passkey.name,
            used(passkey.last_used, None)
        ));
    }
    if lines.is_empty() {
        lines.push("No app was let in, and no browser is signed in.".to_owned());
    }
    output::line(&lines.join("\n"))
}

fn audit(access: &Access, query: &AuditQuery, json: bool) -> Result<(), Failure> {
    let mut lines = String::new();
    for entry in access.read_audit(query)? {
        if json {
            let line = json!({
                "seq": entry.seq,
                "at": entry.at.to_string(),
                "event": entry.event,
                "who": entry.who,
                "from": entry.source,
                "subject": entry.subject,
            });
            let _ = writeln!(lines, "{line}");
        } else {
            let at = entry.at.to_string();
            let at = at.get(..19).unwrap_or(&at);
            let subject = entry.subject;
            let _ = writeln!(
                lines,
                "{at}  {}  by {} from {}  {subject}",
                entry.event, entry.who, entry.source
            );
        }
    }
    output::text(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_to_come() {
        let now = Timestamp::parse("2026-03-01").unwrap();
        let check = |text: &str, expected: &str| {
            assert_eq!(
                expiry(text, now).unwrap(),
                Timestamp::parse(expected).unwrap(),
                "{text}"
            );
        };
        check("90d", "2026-05-30");
        check("12h", "2026-03-01T12:00:00Z");
        check(" 4w ", "2026-03-29");
        check("2027-01-01", "2027-01-01");
        for wrong in [
            "",
            "d",
            "-1d",
            "0d",
            "1.5d",
            "soon",
            "90 days",
            "9999999999999999999d",
            "ä",
        ] {
            assert!(expiry(wrong, now).is_err(), "{wrong:?}");
        }
    }
}
