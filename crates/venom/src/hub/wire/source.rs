//! Twins of where a memory comes in and of what is done about it.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use venom_core::{ClientName, Precautions, SecretKind, SecretPolicy, Source, TokenName};

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WireSource {
    client: Option<String>,
    token: Option<String>,
}

impl From<Source> for WireSource {
    fn from(source: Source) -> Self {
        Self {
            client: source.client.map(|name| name.as_str().to_owned()),
            token: source.token.map(|name| name.as_str().to_owned()),
        }
    }
}

impl WireSource {
    pub(super) fn parse(self) -> Result<Source, Failure> {
        Ok(Source {
            client: super::parsed(self.client.as_deref(), ClientName::parse)?,
            token: super::parsed(self.token.as_deref(), TokenName::parse)?,
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WirePrecautions {
    secrets: WirePolicy,
    quarantine: bool,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WirePolicy {
    Keep,
    Mask,
    Refuse,
}

impl From<Precautions> for WirePrecautions {
    fn from(precautions: Precautions) -> Self {
        Self {
            secrets: match precautions.secrets {
                SecretPolicy::Keep => WirePolicy::Keep,
                SecretPolicy::Mask => WirePolicy::Mask,
                SecretPolicy::Refuse => WirePolicy::Refuse,
            },
            quarantine: precautions.quarantine,
        }
    }
}

impl From<WirePrecautions> for Precautions {
    fn from(wire: WirePrecautions) -> Self {
        Self {
            secrets: match wire.secrets {
                WirePolicy::Keep => SecretPolicy::Keep,
                WirePolicy::Mask => SecretPolicy::Mask,
                WirePolicy::Refuse => SecretPolicy::Refuse,
            },
            quarantine: wire.quarantine,
        }
    }
}

/// Kinds of secrets by name.
pub(super) fn names(kinds: &[SecretKind]) -> Vec<String> {
    kinds.iter().map(|kind| kind.name().to_owned()).collect()
}

/// Kinds of these names.
pub(super) fn kinds(names: &[String]) -> Result<Vec<SecretKind>, Failure> {
    let kind = |name: &String| {
        SecretKind::of_name(name)
            .ok_or_else(|| Failure::internal(format!("the owner masked an unknown {name:?}")))
    };
    names.iter().map(kind).collect()
}
