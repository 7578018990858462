//! Venom: one private, lasting memory and one personality for every AI assistant.
//!
//! The binary wires the crates together: settings ([`settings`], [`config`]), the use cases behind one
//! owner per data folder ([`hub`]), and the doors: MCP ([`mcp`]), HTTP ([`http`]) and the command line
//! ([`cli`]). Who calls is settled at the door ([`caller`]); what it may do is held against every use case
//! ([`admitted`]). Start reading at [`cli::run`].

mod access_file;
mod addresses;
mod admitted;
mod age;
mod asked;
mod backup;
mod caller;
mod cli;
mod config;
mod failure;
mod http;
mod hub;
mod imports;
mod mcp;
mod personas;
mod serve;
mod settings;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
