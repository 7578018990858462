//! Who makes a call, and what they may do.

use std::net::IpAddr;
use venom_access::{Grant, Rights, Spaces};

/// What lets a caller in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// None: a server that asks for none, or a program of the local user.
    Local,
    /// A token, by its name.
    Token(String),
    /// What the owner granted to a client.
    Grant {
        /// The grant's number.
        id: i64,
        /// The client's name, as the owner saw it.
        client: String,
    },
    /// Nothing: no rights at all. What a door starts from that has yet to ask.
    Nobody,
}

/// Who makes a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// What lets it in.
    pub(crate) pass: Pass,
    /// Where it calls from: an address, or a door that has none.
    pub(crate) source: String,
    /// What it may do.
    pub(crate) rights: Rights,
}

impl Caller {
    /// The local user at a door without addresses.
    pub(crate) fn local(door: &str) -> Self {
        Self {
            pass: Pass::Local,
            source: door.to_owned(),
            rights: Rights::ALL,
        }
    }

    /// Somebody at an address who needs no pass.
    pub(crate) fn at(address: Option<IpAddr>) -> Self {
        Self::local(&address_text(address))
    }

    /// Whoever shows a token.
    pub(crate) fn with_token(name: String, rights: Rights, address: Option<IpAddr>) -> Self {
        Self {
            pass: Pass::Token(name),
            source: address_text(address),
            rights,
        }
    }

    /// A client that was let in.
    pub(crate) fn with_grant(grant: Grant, address: Option<IpAddr>) -> Self {
        Self {
            pass: Pass::Grant {
                id: grant.id,
                client: grant.client_name,
            },
            source: address_text(address),
            rights: grant.rights,
        }
    }

    /// Nobody: for what is made before it is known who calls.
    pub(crate) fn nobody() -> Self {
        Self {
            pass: Pass::Nobody,
            source: String::new(),
            rights: Rights {
                spaces: Spaces::Only(Vec::new()),
                write: false,
            },
        }
    }

    /// As lists and the audit log name it.
    pub(crate) fn name(&self) -> String {
        match &self.pass {
            Pass::Local => "local".to_owned(),
            Pass::Token(name) => format!("token {name}"),
            Pass::Grant { id, client } => format!("grant {id} ({client})"),
            Pass::Nobody => "nobody".to_owned(),
        }
    }

    /// What limits the rate of its calls: a pass counts as one caller, wherever it is shown from.
    pub(crate) fn rate_key(&self) -> Option<String> {
        let has_pass = matches!(self.pass, Pass::Token(_) | Pass::Grant { .. });
        has_pass.then(|| self.name())
    }
}

/// An address as logs show it.
pub(crate) fn address_text(address: Option<IpAddr>) -> String {
    address.map_or_else(
        || "unknown".to_owned(),
        |address| address.to_canonical().to_string(),
    )
}
