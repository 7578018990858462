//! Who sends a request: the client, by what it calls itself, and the token that it shows.

use crate::caller::{Caller, Pass};
use rmcp::RoleServer;
use rmcp::model::Implementation;
use rmcp::service::RequestContext;
use venom_core::{ClientName, Source, TokenName};

/// Where what a request stores comes in. A client says its own name, so it is a hint; without one the program counts
/// that sends the request.
pub(super) fn source(context: &RequestContext<RoleServer>, caller: &Caller) -> Source {
    let names = Names::of(context);
    let agent = names.agent.as_deref().and_then(product);
    let told = [names.in_request, names.in_handshake, agent].into_iter();
    Source {
        client: told
            .flatten()
            .next()
            .and_then(|name| ClientName::told(&name)),
        token: token(caller),
    }
}

/// The name of the token or grant that let the caller in, if it needed one.
fn token(caller: &Caller) -> Option<TokenName> {
    match &caller.pass {
        Pass::Token(name) => TokenName::told(name),
        Pass::Grant { .. } => TokenName::told(&caller.name()),
        Pass::Local | Pass::Nobody => None,
    }
}

/// Whether the client is one of OpenAI's, whose connectors look for tools named `search` and `fetch`. It says
/// so in the request, in its handshake, or as the program that sends the request.
pub(super) fn is_connector(context: &RequestContext<RoleServer>) -> bool {
    let Names {
        agent,
        in_request,
        in_handshake,
    } = Names::of(context);
    let names = [agent, in_request, in_handshake];
    names.into_iter().flatten().any(|name| {
        let name = name.to_lowercase();
        name.contains("openai") || name.contains("chatgpt")
    })
}

/// What a client calls itself.
struct Names {
    /// The header `User-Agent`; over HTTP only.
    agent: Option<String>,
    /// In the request itself; since revision 2026-07-28.
    in_request: Option<String>,
    /// When it connected, where the connection is the same.
    in_handshake: Option<String>,
}

impl Names {
    fn of(context: &RequestContext<RoleServer>) -> Self {
        let parts = context.extensions.get::<axum::http::request::Parts>();
        let agent = parts.and_then(|parts| parts.headers.get(axum::http::header::USER_AGENT));
        let agent = agent.and_then(|agent| agent.to_str().ok());
        // Where requests come without one, the SDK puts itself in its place.
        let nobody = Implementation::from_build_env();
        let handshake = context.peer.peer_info();
        let handshake = handshake.map(|client| client.client_info.name.clone());
        Self {
            agent: agent.map(str::to_owned),
            in_request: context.meta.client_info().map(|client| client.name),
            in_handshake: handshake.filter(|name| *name != nobody.name),
        }
    }
}

/// The product that a `User-Agent` names first, without its version.
fn product(agent: &str) -> Option<String> {
    let first = agent.split_whitespace().next()?;
    let name = first.split('/').next()?;
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_is_known_by_its_first_product() {
        let named = |agent| product(agent);
        assert_eq!(
            named("claude-code/2.0 (cli)").as_deref(),
            Some("claude-code")
        );
        assert_eq!(named("node").as_deref(), Some("node"));
        assert_eq!(named(" /1 "), None);
        assert_eq!(named(""), None);
    }
}
